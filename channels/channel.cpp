#include <gangway/channel.hpp>
#include <gangway/channel_file.hpp>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>

#include <atomic>
#include <memory>
#include <new>
#include <ostream>
#include <thread>
#include <utility>

#include "channels/channel_handle.hpp"
#include "channels/decode.hpp"
#include "core/item_codec.hpp"

namespace gangway {

namespace {

using boost::system::error_code;
using detail::ChannelHandle;
using detail::Connection;

class ValueCallback final : public detail::ChannelCallback {
 public:
  ValueCallback(Connection& connection, std::function<void(Value)> callback, std::optional<Value> endmarker)
      : connection_(connection), callback_(std::move(callback)), endmarker_(std::move(endmarker)) {}

  void on_item(detail::InItem item) override { callback_(decode(connection_, std::move(item))); }
  void on_end() override {
    if (endmarker_) callback_(std::move(*endmarker_));
  }

 private:
  Connection& connection_;  // which calls us
  const std::function<void(Value)> callback_;
  std::optional<Value> endmarker_;
};

/// The time in which a thread hands something to an executor. One that runs it in another thread and waits for that,
/// although asked not to (execution::blocking.never), waits for ever.
class Posting {
 public:
  void over() noexcept {
    over_ = true;
    over_.notify_one();
  }
  /// In what was handed over.
  void wait() const noexcept {
    if (std::this_thread::get_id() != poster_) over_.wait(false);  // else by an executor that does it at once
  }

 private:
  const std::thread::id poster_ = std::this_thread::get_id();
  std::atomic<bool> over_ = false;
};

// An operation that waits on a channel without a thread. It keeps itself alive until it has
// completed; wake() is called once with the connection's mutex held, so it hands over to
// the callback thread.
template <class Handler>
class Operation : public detail::ChannelWaiter,
                  public detail::CallbackThread::Job,
                  public std::enable_shared_from_this<Operation<Handler>> {
 public:
  Operation(std::shared_ptr<ChannelHandle> channel, Handler handler)
      : channel_(std::move(channel)),
        handler_(std::move(handler)),
        callbacks_(channel_->connection->callbacks()),
        executor_(boost::asio::prefer(boost::asio::get_associated_executor(handler_, callbacks_->executor()),
                                      boost::asio::execution::outstanding_work.tracked)) {}
  virtual ~Operation() = default;

  void start() {
    auto slot = boost::asio::get_associated_cancellation_slot(handler_);
    if (slot.is_connected())
      slot.assign([weak = this->weak_from_this()](boost::asio::cancellation_type type) {
        const auto self = weak.lock();
        if (self && type != boost::asio::cancellation_type::none) self->cancel();
      });
    self_ = this->shared_from_this();
    wait();
  }

  void wake() final { callbacks_->post(std::move(self_)); }
  void run(std::shared_ptr<Job> self) final { proceed(std::static_pointer_cast<Operation>(std::move(self))); }

 protected:
  /// Registers with the connection, or wakes at once.
  virtual void wait() = 0;
  /// On the callback thread: completes, or waits again.
  virtual void proceed(std::shared_ptr<Operation> self) = 0;
  [[nodiscard]] virtual bool withdraw() { return channel_->connection->remove_waiter(channel_->state, *this); }
  virtual void complete_cancelled() = 0;

  // The slot belongs to the handler's executor: only there may it be touched. The handler may end its context, so it
  // begins when this thread has done with that: it may still be waking the context's threads.
  template <class... Results>
  void complete(error_code error, Results... results) {
    namespace execution = boost::asio::execution;
    const auto posting = std::make_shared<Posting>();
    boost::asio::prefer(executor_, execution::blocking.never, execution::outstanding_work.untracked)
        .execute([work = std::move(executor_), handler = std::move(handler_), posting, error,
                  ... results = std::move(results)]() mutable {
          posting->wait();
          boost::asio::get_associated_cancellation_slot(handler).clear();
          std::move(handler)(error, std::move(results)...);
        });
    posting->over();
  }
  void wait_again(std::shared_ptr<Operation> self) {
    self_ = self;
    wait();
    if (cancelled_) cancel();  // that came while it was not waiting
  }
  [[nodiscard]] ChannelHandle& channel() const { return *channel_; }

 private:
  void cancel() {
    cancelled_ = true;
    if (!withdraw()) return;  // it is completing already, or about to wait again
    const auto self = std::move(self_);
    complete_cancelled();
  }

  const std::shared_ptr<ChannelHandle> channel_;
  Handler handler_;
  const std::shared_ptr<detail::CallbackThread> callbacks_;
  boost::asio::any_completion_executor executor_;  // keeps its context running meanwhile
  std::shared_ptr<Operation> self_;
  std::atomic<bool> cancelled_{false};
};

template <class Handler>
class ReceiveOperation final : public Operation<Handler> {
 public:
  using Base = Operation<Handler>;
  using Base::Base;

 private:
  void wait() override { this->channel().connection->add_receiver(this->channel().state, *this); }
  void proceed(std::shared_ptr<Base> self) override {
    error_code error;
    Value value;
    try {
      auto& connection = *this->channel().connection;
      auto item = connection.try_receive(*this->channel().state);
      if (!item) return this->wait_again(std::move(self));
      value = decode(connection, std::move(*item));
    } catch (const Error& problem) {
      error = problem.code();
    } catch (const std::bad_alloc&) {
      error = boost::asio::error::no_memory;
    }
    this->complete(error, std::move(value));
  }
  void complete_cancelled() override { this->complete(errc::cancelled, Value()); }
};

template <class Handler>
class WaitcloseOperation final : public Operation<Handler> {
 public:
  using Base = Operation<Handler>;
  using Base::Base;

 private:
  void wait() override { this->channel().connection->add_end_waiter(this->channel().state, *this); }
  void proceed(std::shared_ptr<Base> self) override {
    error_code error;
    try {
      if (!this->channel().connection->try_wait_end(*this->channel().state)) return this->wait_again(std::move(self));
    } catch (const Error& problem) {
      error = problem.code();
    }
    this->complete(error);
  }
  void complete_cancelled() override { this->complete(errc::cancelled); }
};

template <class Handler>
class SendOperation final : public Operation<Handler> {
 public:
  using Base = Operation<Handler>;
  SendOperation(std::shared_ptr<ChannelHandle> channel, Handler handler, detail::ItemKind kind, Bytes payload)
      : Base(std::move(channel), std::move(handler)), kind_(kind), payload_(std::move(payload)) {}

 private:
  void wait() override {
    auto& channel = this->channel();
    send_ = channel.connection->send_later(channel.state, kind_, std::move(payload_), [this](error_code error) {
      result_ = error;
      this->wake();
    });
  }
  void proceed(std::shared_ptr<Base>) override { this->complete(result_); }
  bool withdraw() override { return this->channel().connection->withdraw(this->channel().state, send_); }
  void complete_cancelled() override { this->complete(errc::cancelled); }

  const detail::ItemKind kind_;
  Bytes payload_;
  Connection::PendingSend send_;
  error_code result_;
};

}  // namespace

detail::ChannelHandle& Channel::handle() const {
  if (!handle_) throw_error(errc::channel_closed, "this Channel refers to no channel");
  return *handle_;
}

std::uint32_t Channel::id() const { return handle().state->id; }

void Channel::send_value(const Value& item, std::optional<Timeout> timeout) {
  Bytes scratch;
  auto& channel = handle();
  channel.connection->send(channel.state, detail::encode_item(item, scratch, channel.connection.get()),
                           detail::deadline_after(timeout));
}

void Channel::send_bytes(std::span<const std::byte> item, std::optional<Timeout> timeout) {
  auto& channel = handle();
  channel.connection->send(channel.state, {detail::ItemKind::bytes, item}, detail::deadline_after(timeout));
}

bool Channel::try_send_value(const Value& item) {
  Bytes scratch;
  auto& channel = handle();
  return channel.connection->try_send(channel.state, detail::encode_item(item, scratch, channel.connection.get()));
}

Value Channel::receive(std::optional<Timeout> timeout) {
  auto& channel = handle();
  return decode(*channel.connection, channel.connection->receive(channel.state, detail::deadline_after(timeout)));
}

void Channel::waitclose(std::optional<Timeout> timeout) {
  auto& channel = handle();
  channel.connection->wait_end(channel.state, detail::deadline_after(timeout));
}

void Channel::set_callback(std::function<void(Value)> callback, std::optional<Value> endmarker) {
  auto& channel = handle();
  const auto connection = channel.connection;  // the callback may drop the handle
  connection->set_callback(channel.state,
                           std::make_shared<ValueCallback>(*connection, std::move(callback), std::move(endmarker)));
}
void Channel::setcallback(std::function<void(Value)> callback) { set_callback(std::move(callback), {}); }
void Channel::setcallback(std::function<void(Value)> callback, Value endmarker) {
  set_callback(std::move(callback), std::move(endmarker));
}

Channel::Iterator& Channel::Iterator::operator++() {
  try {
    item_ = channel_.receive();
  } catch (const ConnectionLost&) {
    throw;
  } catch (const EndOfChannel&) {
    ended_ = true;
  }
  return *this;
}

bool Channel::interrupt(std::optional<Timeout> timeout) {
  auto& channel = handle();
  channel.connection->interrupt(channel.state);
  return !timeout || channel.connection->wait_over(channel.state, detail::deadline_after(timeout));
}

void Channel::reconfigure(bool py2str_as_py3str, bool py3str_as_py2str) {
  auto& channel = handle();
  channel.connection->reconfigure(channel.state, {py2str_as_py3str, py3str_as_py2str});
}

ChannelFile Channel::makefile(std::string_view mode, bool proxyclose) const {
  (void)handle();
  return {*this, mode, proxyclose};
}

void Channel::close() { handle().connection->close(handle().state); }
void Channel::close(std::string_view error) { handle().connection->close(handle().state, error); }
bool Channel::isclosed() const { return handle().connection->is_closed(*handle().state); }
std::string Channel::error_text() const { return handle().connection->error_text(*handle().state); }

Channel::Encoded Channel::encode(const Value& item) const {
  Bytes scratch;
  const auto encoded = detail::encode_item(item, scratch, handle().connection.get());
  if (encoded.payload.data() == scratch.data()) return {encoded.kind, std::move(scratch)};
  return {encoded.kind, Bytes(encoded.payload)};
}

void Channel::start_receive(ReceiveHandler handler) {
  (void)this->handle();
  std::make_shared<ReceiveOperation<ReceiveHandler>>(handle_, std::move(handler))->start();
}

void Channel::start_send(Encoded item, EndHandler handler) {
  std::make_shared<SendOperation<EndHandler>>(handle_, std::move(handler), item.kind, std::move(item.payload))->start();
}

void Channel::start_waitclose(EndHandler handler) {
  (void)this->handle();
  std::make_shared<WaitcloseOperation<EndHandler>>(handle_, std::move(handler))->start();
}

std::ostream& operator<<(std::ostream& out, const Channel& channel) {
  if (!channel) return out << "<Channel none>";
  return out << "<Channel id=" << channel.id() << (channel.isclosed() ? " closed>" : " open>");
}

void gangway_value_from(Value& out, const Channel& channel) {
  out = ChannelRef{channel.handle().state->id, channel.handle_};
}

Channel gangway_value_to(std::type_identity<Channel>, const Value& value) {
  return Channel(std::static_pointer_cast<ChannelHandle>(value.as_channel().object));
}

}  // namespace gangway
