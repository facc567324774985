// Callbacks instead of receivers: who is called, where, in which order.
#include <cxxabi.h>

#include <exception>
#include <utility>

#include "channels/callback_scope.hpp"
#include "channels/connection.hpp"

namespace gangway::detail {

namespace {

// Turns in a row before completions have theirs on the same thread.
constexpr int turns_in_a_row = 64;

/// Runs user code; the text of what it throws, if it does.
template <class Run>
std::optional<std::string> failure_of(const ChannelState& channel, Run run) {
  const CallbackScope scope(channel);
  try {
    run();
    return {};
  } catch (abi::__forced_unwind&) {  // the thread is being ended
    throw;
  } catch (const RemoteError& error) {
    return error.formatted();
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "a callback threw something that is no std::exception";
  }
}

}  // namespace

class Connection::CallbackJob final : public CallbackThread::Job {
 public:
  explicit CallbackJob(Connection& connection) : connection_(connection) {}
  void run(std::shared_ptr<Job>) override { connection_.run_callbacks(); }

 private:
  Connection& connection_;  // which the queue keeps alive, see post_callbacks()
};

std::shared_ptr<CallbackThread> Connection::callbacks() {
  check_process();
  const std::lock_guard lock(mutex_);
  if (!callbacks_) callbacks_ = CallbackThread::start();
  return callbacks_;
}

bool Connection::on_callback_thread() const noexcept { return callbacks_ && callbacks_->is_this_thread(); }

// With a callback it has ended when the callback came back from the end, unless this side
// closed it.
bool Connection::ended(const ChannelState& channel) {
  return !channel.receivable && (!channel.callback || !channel.callback->user || channel.closed_here);
}

// The same for this thread, which need not wait for what only it could do.
bool Connection::ended_here(const ChannelState& channel) const {
  return ended(channel) || (!channel.receivable && (on_callback_thread() || CallbackScope::inside(channel)));
}

void Connection::set_callback(const ChannelPtr& channel, std::shared_ptr<ChannelCallback> callback) {
  (void)callbacks();
  const auto state = std::make_shared<CallbackState>(callback);
  std::unique_lock lock(mutex_);
  if (channel->callback)
    throw_error(errc::has_callback, "channel " + std::to_string(channel->id) + " has a callback already");
  if (!callback_job_) callback_job_ = std::make_shared<CallbackJob>(*this);
  const bool has_ended = !channel->receivable;
  state->handing_over = true;
  channel->callback = state;
  for (ChannelWaiter* waiter : std::exchange(channel->receivers, {})) waiter->wake();  // to their error
  try {
    hand_over(lock, channel, *callback, has_ended);
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    take_back(*channel);
    throw;
  }
  state->handing_over = false;
  callback_queue_.resume(*state);
  if (has_ended) {
    state->user.reset();  // `callback` is the last, and goes without the mutex
    wake_end_waiters(*channel);
  }
  post_callbacks();
  runtime_->keep_going();
}

void Connection::hand_over(std::unique_lock<std::mutex>& lock, const ChannelPtr& channel, ChannelCallback& callback,
                           bool has_ended) {
  const CallbackScope scope(*channel);
  for (std::size_t queued = channel->arrived.size(); queued > 0; --queued) {
    auto item = machine_.take(*channel);
    after_take();
    lock.unlock();
    callback.on_item(std::move(*item));
    lock.lock();
  }
  if (!has_ended) return;
  lock.unlock();
  callback.on_end();
  lock.lock();
}

void Connection::set_sink(const ChannelPtr& channel, std::shared_ptr<ArrivalSink> sink) {
  check_process();
  const auto state = std::make_shared<CallbackState>(std::move(sink));
  const std::lock_guard lock(mutex_);
  if (channel->callback)
    throw_error(errc::has_callback, "channel " + std::to_string(channel->id) + " has a callback already");
  for (std::size_t queued = channel->arrived.size(); queued > 0; --queued) state->sink->on_arrival(channel, false);
  channel->callback = state;
  for (ChannelWaiter* waiter : std::exchange(channel->receivers, {})) waiter->wake();  // to their error
  if (!channel->receivable) tell_end(channel);
  runtime_->keep_going();
}

void Connection::remove_sink(const ChannelPtr& channel) {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  channel->callback.reset();
}

std::optional<InItem> Connection::take(ChannelState& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  auto item = machine_.take(channel);
  after_take();
  return item;
}

void Connection::tell_item(const ChannelPtr& channel) {
  if (channel->callback->sink) return channel->callback->sink->on_arrival(channel, false);
  callback_queue_.item(channel);
  post_callbacks();
}

void Connection::tell_end(const ChannelPtr& channel) {
  if (const auto sink = std::exchange(channel->callback->sink, nullptr)) return sink->on_arrival(channel, true);
  callback_queue_.end(channel);
  post_callbacks();
}

// Its turns in the queue find no user code. The last reference to that is the caller's.
void Connection::take_back(ChannelState& channel) {
  channel.callback->user.reset();
  channel.callback->handing_over = false;
  channel.callback->held.clear();
  channel.callback.reset();
  if (!channel.receivable) wake_end_waiters(channel);
}

void Connection::post_callbacks() noexcept {
  if (callbacks_posted_ || callback_queue_.empty()) return;
  callbacks_posted_ = true;
  callbacks_->post({shared_from_this(), callback_job_.get()});
}

void Connection::run_callbacks() {
  std::unique_lock lock(mutex_);
  for (int turns = 0; turns < turns_in_a_row; ++turns) {
    const CallbackTurns turn = callback_queue_.next();
    if (turn.empty()) break;
    run_turn(lock, turn.front());
  }
  callbacks_posted_ = false;
  post_callbacks();
}

void Connection::run_turn(std::unique_lock<std::mutex>& lock, const CallbackTurn& turn) {
  CallbackState& callback = *turn.callback;
  if (!callback.user) return;  // taken back, or the end was told
  std::optional<InItem> item;
  if (!turn.is_end) {
    item = machine_.take(*turn.channel);
    if (!item || callback.failed) return;
    after_take();
  }
  auto user = callback.user;
  lock.unlock();
  const auto failure =
      failure_of(*turn.channel, [&] { turn.is_end ? user->on_end() : user->on_item(std::move(*item)); });
  lock.lock();
  if (failure) callback_failed(turn.channel, *failure);
  if (!turn.is_end) return;
  callback.user.reset();
  wake_end_waiters(*turn.channel);
  lock.unlock();  // what the user's object holds may call us when it goes
  user.reset();
  lock.lock();
}

void Connection::callback_failed(const ChannelPtr& channel, const std::string& text) {
  channel->callback->failed = true;
  if (!channel->error) channel->error = text;
  if (channel->closed || end_) return;
  machine_.close(channel, text);
  write_out();
}

}  // namespace gangway::detail
