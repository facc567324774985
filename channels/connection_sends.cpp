// Sends: at once where that needs no waiting, else with a thread that waits, or with none.
#include <algorithm>
#include <utility>

#include "channels/connection.hpp"

namespace gangway::detail {

using boost::system::error_code;

/// A send whose payload stays with the thread that waits for it.
class Connection::BlockingSend final : public OutItem {
 public:
  BlockingSend(Runtime& runtime, const EncodedItem& item) : OutItem(item), waiter(runtime) {}
  void finished(error_code error) override {
    result = error;
    waiter.notify();
  }

  Waiter waiter;
  std::optional<error_code> result;
};

/// A send that owns its payload and itself.
class Connection::DetachedSend final : public OutItem {
 public:
  /// The payload stays with somebody else.
  DetachedSend(const EncodedItem& item, std::function<void(error_code)> done) : OutItem(item), done_(std::move(done)) {}
  DetachedSend(ItemKind item_kind, Bytes bytes, std::function<void(error_code)> done)
      : OutItem(item_kind, {}), bytes_(std::move(bytes)), done_(std::move(done)) {
    payload = bytes_.span();
  }
  void keep(std::shared_ptr<DetachedSend> self) { self_ = std::move(self); }
  void drop() { self_.reset(); }
  void finished(error_code error) override {
    const auto self = std::move(self_);
    const auto done = std::move(done_);
    if (done) done(error);
  }
  /// Nobody waits for it any more.
  void abandon() { done_ = nullptr; }

 private:
  Bytes bytes_;
  std::function<void(error_code)> done_;
  std::shared_ptr<DetachedSend> self_;
};

void Connection::check_sendable(const ChannelState& channel, std::size_t payload) const {
  if (payload > peer_max_item_)
    throw_error(errc::item_too_large, "item of " + std::to_string(payload) + " bytes, the limit (max_item) is " +
                                          std::to_string(peer_max_item_));
  if (channel.sendable) return;
  if (end_ && !channel.closed) throw_end();
  throw_error(errc::channel_closed, "cannot send to <Channel id=" + std::to_string(channel.id) + " closed>");
}

bool Connection::try_send(const ChannelPtr& channel, const EncodedItem& item) {
  check_process();
  const std::lock_guard lock(mutex_);
  check_sendable(*channel, item.size());
  if (item.has_arrays) on_need("arrays");
  if (machine_.send_now(*channel, item.kind, item.payload)) {
    output_added();
    return true;
  }
  // A larger one goes on its own, copied, if the peer has room for all of it.
  if (item.size() <= limits::frame_sent || writing_ || !machine_.has_room(*channel, item.size())) return false;
  const auto send = std::make_shared<DetachedSend>(item.kind, item.joined(), nullptr);
  send->keep(send);
  machine_.send(channel, *send);
  write_out();
  runtime_->keep_going();
  return true;
}

void Connection::send(const ChannelPtr& channel, const EncodedItem& item, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  check_sendable(*channel, item.size());
  if (item.has_arrays) on_need("arrays");
  if (machine_.send_now(*channel, item.kind, item.payload)) {
    output_added();
    return;
  }
  check_may_wait();
  std::optional<error_code> result;
  if (!deadline) {
    BlockingSend send(*runtime_, item);
    machine_.send(channel, send);
    write_out();
    while (!send.result) (void)wait_for(lock, send.waiter, {});
    result = send.result;
  } else {
    Waiter waiter(*runtime_);
    const auto send = std::make_shared<DetachedSend>(item.kind, item.joined(), [&](error_code error) {
      result = error;
      waiter.notify();
    });
    send->keep(send);
    machine_.send(channel, *send);
    write_out();
    if (!result && !wait_for(lock, waiter, deadline) && !result) {
      send->abandon();
      const bool withdrawn = machine_.withdraw(*channel, *send);
      if (withdrawn) send->drop();
      throw_error(errc::timed_out,
                  withdrawn ? "send timed out, nothing was sent" : "send timed out, the item is still on its way");
    }
  }
  if (!*result) return;
  check_sendable(*channel, 0);
  throw_error(*result);
}

Connection::PendingSend Connection::send_later(const ChannelPtr& channel, ItemKind kind, Bytes payload,
                                               std::function<void(error_code)> done) {
  return send_detached(channel, std::make_shared<DetachedSend>(kind, std::move(payload), std::move(done)));
}

Connection::PendingSend Connection::send_later(const ChannelPtr& channel, const EncodedItem& item,
                                               std::function<void(error_code)> done) {
  if (item.has_arrays) {
    check_process();
    const std::lock_guard lock(mutex_);
    on_need("arrays");
  }
  return send_detached(channel, std::make_shared<DetachedSend>(item, std::move(done)));
}

Connection::PendingSend Connection::send_detached(const ChannelPtr& channel, std::shared_ptr<DetachedSend> send) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (send->size() > peer_max_item_) {
    send->finished(errc::item_too_large);
    return send;
  }
  if (!channel->sendable && end_ && !channel->closed) {
    send->finished(end_->code);
    return send;
  }
  send->keep(send);
  machine_.send(channel, *send);
  write_out();
  runtime_->keep_going();
  return send;
}

bool Connection::withdraw(const ChannelPtr& channel, const PendingSend& pending) {
  if (fork_.in_child()) return false;
  const std::lock_guard lock(mutex_);
  const auto send = pending.lock();
  if (!send || !machine_.withdraw(*channel, *send)) return false;
  send->abandon();
  send->drop();
  return true;
}

}  // namespace gangway::detail
