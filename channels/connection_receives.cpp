// Receiving, and waiting for the end of a channel.
#include <utility>

#include "channels/callback_scope.hpp"
#include "channels/connection.hpp"

namespace gangway::detail {

namespace {

/// A waiter on a channel that is a thread.
class ThreadWaiter final : public ChannelWaiter {
 public:
  explicit ThreadWaiter(Waiter& waiter) : waiter_(waiter) {}
  void wake() override { waiter_.notify(); }

 private:
  Waiter& waiter_;
};

[[noreturn]] void throw_has_callback(const ChannelState& channel) {
  throw_error(errc::has_callback, "channel " + std::to_string(channel.id) + " has a callback");
}

}  // namespace

void Connection::after_take() {
  if (machine_.has_control()) write_out();
}

// The text stays for error_text(); the error itself is raised once.
void Connection::throw_pending(ChannelState& channel) const {
  if (!channel.error_raised && channel.error) {
    channel.error_raised = true;
    throw RemoteError(*channel.error);
  }
  if (end_ && !channel.closed) throw_end();
}

void Connection::throw_pending_error(ChannelState& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (!channel.receivable) throw_pending(channel);
}

std::optional<InItem> Connection::take_or_throw(ChannelState& channel) {
  if (channel.callback) throw_has_callback(channel);
  if (auto item = machine_.take(channel)) {
    after_take();
    return item;
  }
  if (channel.receivable) return {};
  throw_pending(channel);
  throw_error(errc::end_of_channel, "end of channel " + std::to_string(channel.id));
}

std::optional<InItem> Connection::try_receive(ChannelState& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  return take_or_throw(channel);
}

InItem Connection::receive(const ChannelPtr& channel, Deadline deadline) {
  Waiter waiter(*runtime_);
  for (;;) {
    if (auto item = receive(channel, waiter, deadline)) return std::move(*item);
    waiter.rearm();  // another receiver was faster
  }
}

std::optional<InItem> Connection::receive(const ChannelPtr& channel, Waiter& waiter, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  if (auto item = take_or_throw(*channel)) return item;
  check_may_wait();
  ThreadWaiter entry(waiter);
  channel->receivers.push_back(&entry);
  const bool notified = wait_for(lock, waiter, deadline);
  std::erase(channel->receivers, &entry);
  if (auto item = take_or_throw(*channel)) return item;
  if (notified) return {};
  throw_error(errc::timed_out, "nothing arrived on channel " + std::to_string(channel->id) + " in time");
}

bool Connection::ended_or_throw(ChannelState& channel) {
  if (!ended_here(channel)) return false;
  throw_pending(channel);
  return true;
}

bool Connection::try_wait_end(ChannelState& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  return ended_or_throw(channel);
}

void Connection::wait_end(const ChannelPtr& channel, Deadline deadline) {
  Waiter waiter(*runtime_);
  (void)wait_end(channel, waiter, deadline);
}

bool Connection::wait_end(const ChannelPtr& channel, Waiter& waiter, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  if (ended_or_throw(*channel)) return true;
  check_may_wait();
  if (CallbackScope::inside(*channel))
    throw_error(errc::would_deadlock, "waitclose on channel " + std::to_string(channel->id) + " in its own callback");
  ThreadWaiter entry(waiter);
  // On the callback thread nobody can wait for the end's callback. No item wakes a receiver
  // of a channel with a callback; the end does, and before the callback.
  auto& waiters = channel->callback && on_callback_thread() ? channel->receivers : channel->end_waiters;
  waiters.push_back(&entry);
  const bool notified = wait_for(lock, waiter, deadline);
  std::erase(waiters, &entry);
  if (ended_or_throw(*channel)) return true;
  if (notified) return false;  // by somebody else
  throw_error(errc::timed_out, "channel " + std::to_string(channel->id) + " did not end in time");
}

bool Connection::wait_over(const ChannelPtr& channel, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  const auto over = [&] { return channel->closed || end_; };
  Waiter waiter(*runtime_);
  ThreadWaiter entry(waiter);
  for (bool in_time = true; !over() && in_time;) {
    check_may_wait();
    waiter.rearm();
    auto& waiters = channel->callback ? channel->receivers : channel->end_waiters;  // as in wait_end
    waiters.push_back(&entry);
    in_time = wait_for(lock, waiter, deadline);
    std::erase(waiters, &entry);
  }
  return over() && !channel->closed_here;
}

void Connection::add_receiver(const ChannelPtr& channel, ChannelWaiter& waiter) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (!channel->arrived.empty() || !channel->receivable || channel->callback) return waiter.wake();
  channel->receivers.push_back(&waiter);
  about_to_wait();
  runtime_->keep_going();
}

void Connection::add_end_waiter(const ChannelPtr& channel, ChannelWaiter& waiter) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (ended(*channel)) return waiter.wake();
  channel->end_waiters.push_back(&waiter);
  about_to_wait();
  runtime_->keep_going();
}

bool Connection::remove_waiter(const ChannelPtr& channel, ChannelWaiter& waiter) {
  if (fork_.in_child()) return false;
  const std::lock_guard lock(mutex_);
  return std::erase(channel->receivers, &waiter) + std::erase(channel->end_waiters, &waiter) > 0;
}

void Connection::pass_on(const ChannelPtr& channel) {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  if (!channel->arrived.empty() && !channel->callback) on_item(channel);
}

}  // namespace gangway::detail
