#include "channels/connection.hpp"

#include <utility>

#include "channels/callback_scope.hpp"
#include "channels/channel_handle.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

Connection::Connection(std::shared_ptr<Runtime> runtime, std::unique_ptr<ByteStream> stream,
                       const Multiplexer::Settings& settings)
    : runtime_(std::move(runtime)), stream_(std::move(stream)), machine_(settings, *this) {}

Connection::~Connection() {
  if (!fork_.in_child()) stream_->close();
}

// --- channels

// Before the mutex: in a forked child it may be locked for ever.
void Connection::check_process() const {
  if (fork_.in_child()) throw_error(errc::terminated, "a connection of the parent process: not usable after fork");
}

// Before anything of the waiting thread's stack is registered.
void Connection::check_may_wait() {
  if (Runtime::in_handler()) throw_error(errc::would_deadlock, "a blocking call on the thread that does the I/O");
}

Connection::ChannelPtr Connection::open_channel() {
  check_process();
  const std::lock_guard lock(mutex_);
  if (end_) throw_end();
  return machine_.open();
}

void Connection::close(const ChannelPtr& channel, std::optional<std::string_view> error) {
  check_process();
  const std::lock_guard lock(mutex_);
  const bool closed_before = std::exchange(channel->closed_here, channel->closed_here || !channel->closed);
  try {
    machine_.close(channel, error);
  } catch (...) {
    channel->closed_here = closed_before;
    throw;
  }
  write_out();
}

void Connection::release(const ChannelPtr& channel) noexcept {
  if (fork_.in_child()) return;
  try {
    const std::lock_guard lock(mutex_);
    if (!channel->handle.expired() || channel->closed || end_) return;
    if (channel->callback && channel->callback->user && channel->receivable) {
      machine_.last_message(*channel);
    } else {
      channel->closed_here = true;
      machine_.close(channel);
    }
    write_out();
  } catch (const std::exception& problem) {
    trace::log("closing channel ", channel->id, " failed: ", problem.what());
  }
}

bool Connection::is_closed(const ChannelState& channel) {
  if (fork_.in_child()) return true;
  const std::lock_guard lock(mutex_);
  return channel.closed;
}

std::string Connection::error_text(const ChannelState& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (channel.error) return *channel.error;
  return end_ && !channel.closed ? end_->text : std::string();
}

void Connection::reconfigure(const ChannelPtr& channel, StringOptions options) {
  check_process();
  const std::lock_guard lock(mutex_);
  on_need("strings");
  machine_.reconfigure(*channel, options);
  write_out();
}

void Connection::reconfigure(StringOptions options) {
  check_process();
  const std::lock_guard lock(mutex_);
  on_need("strings");  // a portable agent needs it to handle the frame
  machine_.reconfigure_later_channels(options);
  write_out();
}

void Connection::interrupt(const ChannelPtr& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (end_) return;
  machine_.interrupt(*channel);  // of a closed one, too: its task may still run
  write_out();
}

std::uint32_t Connection::id_of(const ChannelRef& channel) {
  const auto* const handle = static_cast<const ChannelHandle*>(channel.object.get());
  if (handle == nullptr || handle->connection.get() != this)
    throw_error(errc::bad_channel, "can't serialize a channel of another gateway");
  return handle->state->id;
}

ChannelRef Connection::channel(std::uint32_t id) {
  check_process();
  ChannelPtr state;
  {
    const std::lock_guard lock(mutex_);
    state = machine_.claim(id);
    if (machine_.has_control()) write_out();  // credit, for an item that is arriving
  }
  if (!state) throw LoadError(errc::bad_channel, "bad item: channel " + std::to_string(id) + " was never opened");
  return {id, handle_of(state)};
}

std::shared_ptr<ChannelHandle> Connection::handle_of(const ChannelPtr& channel) {
  check_process();
  const std::lock_guard lock(mutex_);
  auto handle = std::static_pointer_cast<ChannelHandle>(channel->handle.lock());
  if (!handle) channel->handle = handle = std::make_shared<ChannelHandle>(shared_from_this(), channel);
  return handle;
}

// --- the connection

void Connection::send_terminate() {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  machine_.terminate();
  write_out();
}

bool Connection::wait_state(const bool& reached, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  if (reached || finished_) return reached;
  check_may_wait();
  Waiter waiter(*runtime_);
  state_waiters_.push_back(&waiter);
  bool in_time = true;
  while (!reached && !finished_ && in_time) {
    waiter.rearm();
    in_time = wait_for(lock, waiter, deadline);
  }
  std::erase(state_waiters_, &waiter);
  return reached;
}

bool Connection::wait_ready(Deadline deadline) {
  if (wait_state(ready_, deadline)) return true;
  const std::lock_guard lock(mutex_);
  if (end_) throw_end();
  return false;
}

void Connection::add_ready_waiter(ChannelWaiter& waiter) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (ready_ || finished_) return waiter.wake();
  ready_waiters_.push_back(&waiter);
  runtime_->keep_going();
}

bool Connection::remove_ready_waiter(ChannelWaiter& waiter) {
  if (fork_.in_child()) return false;
  const std::lock_guard lock(mutex_);
  return std::erase(ready_waiters_, &waiter) > 0;
}

bool Connection::wait_finished(Deadline deadline) { return wait_state(finished_, deadline); }

bool Connection::ready() {
  if (fork_.in_child()) return false;
  const std::lock_guard lock(mutex_);
  return ready_;
}

bool Connection::finished() {
  if (fork_.in_child()) return true;
  const std::lock_guard lock(mutex_);
  return finished_;
}

std::optional<std::string> Connection::end_text() {
  check_process();
  const std::lock_guard lock(mutex_);
  return end_ ? std::optional(end_->text) : std::nullopt;
}

std::size_t Connection::live_channels() {
  if (fork_.in_child()) return 0;
  const std::lock_guard lock(mutex_);
  return machine_.live();
}

Dict Connection::queued(std::size_t most) {
  Dict result;
  if (fork_.in_child()) return result;
  const std::lock_guard lock(mutex_);
  for (const ChannelPtr& channel : machine_.channels()) {
    if (result.size() == most) break;
    const std::size_t arrived = channel->arrived_bytes(), outgoing = channel->outgoing_bytes();
    if (arrived + outgoing > 0) result[channel->id] = Tuple{arrived, outgoing};
  }
  return result;
}

std::string Connection::noise() {
  if (fork_.in_child()) return {};
  const std::lock_guard lock(mutex_);
  return preamble_ ? std::string(preamble_->noise()) : noise_;
}

void Connection::finish(ConnectionEnd end) {
  if (fork_.in_child()) return;
  std::shared_ptr<Owner> owner;
  {
    const std::lock_guard lock(mutex_);
    if (end_) return;
    stream_over_ = true;
    stream_->close();
    end_ = std::move(end);
    machine_.fail(end_->code);
    wake_requests();
    finished_ = true;
    wake_state_waiters();
    owner = owner_.lock();
  }
  runtime_->keep_going();  // the handlers that closing the stream has cancelled
  if (owner) owner->on_finished();
}

void Connection::throw_end() const { throw_error(end_->code, end_->text, end_->death); }

void Connection::wake_state_waiters() {
  for (Waiter* waiter : state_waiters_) waiter->notify();
  for (ChannelWaiter* waiter : std::exchange(ready_waiters_, {})) waiter->wake();
}

bool Connection::wait_for(std::unique_lock<std::mutex>& lock, Waiter& waiter, Deadline deadline) noexcept {
  about_to_wait();
  lock.unlock();
  const bool notified = runtime_->wait(waiter, deadline);
  lock.lock();
  return notified;
}

// --- what the machine reports, with the mutex held

std::optional<std::string> Connection::on_hello(std::span<const std::byte> pickle) {
  const auto owner = owner_.lock();
  if (!owner) return "nobody is there to read HELLO";
  try {
    if (auto reason = owner->on_hello(decode_pickle(pickle))) return reason;
  } catch (const Error& problem) {
    return std::string("HELLO: ") + problem.what();
  }
  ready_ = true;
  wake_state_waiters();
  return {};
}

void Connection::on_item(const ChannelPtr& channel) {
  if (channel->callback) return tell_item(channel);
  if (channel->receivers.empty()) return;
  ChannelWaiter* const first = channel->receivers.front();
  channel->receivers.erase(channel->receivers.begin());
  first->wake();
}

void Connection::on_end(const ChannelPtr& channel) {
  for (ChannelWaiter* waiter : std::exchange(channel->receivers, {})) waiter->wake();
  if (channel->callback) tell_end(channel);
  if (ended(*channel)) wake_end_waiters(*channel);
}

void Connection::wake_end_waiters(ChannelState& channel) {
  for (ChannelWaiter* waiter : std::exchange(channel.end_waiters, {})) waiter->wake();
}

void Connection::on_exec(const ChannelPtr& channel, Bytes request) {
  if (const auto owner = owner_.lock()) owner->on_exec(channel, std::move(request));
}

void Connection::on_interrupt(std::uint32_t channel) {
  if (const auto owner = owner_.lock()) owner->on_interrupt(channel);
}

void Connection::on_terminate() {
  if (const auto owner = owner_.lock()) owner->on_terminate();
}

}  // namespace gangway::detail
