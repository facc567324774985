#include "channels/connection.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

#include "channels/callback_scope.hpp"
#include "channels/channel_handle.hpp"
#include "core/error_text.hpp"
#include "core/escape.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

namespace {

using boost::system::error_code;

// Sends are written at once, one write each, as long as so many take so long, or there is a pause
// between them: a task that sends and crashes loses none of them. A flood of more than 50,000 a second
// is coalesced, which is what makes it faster than one write per item.
constexpr int direct_writes_in_a_row = 32;
constexpr std::chrono::microseconds direct_writes_time{640};
constexpr std::size_t coalesced_write = 32 * 1024;
// The flood is over when no more than this came within a tick of the stand-by: 128 small items.
constexpr std::size_t flood_per_tick = 2048;

// Reads in a row before other handlers get their turn; 16 x 64 KiB is what a pipe holds.
constexpr int reads_in_a_row = 16;

// For what a peer that reads no more has written before: 4,096 x 64 KiB are more than any
// pipe or socket holds, and a peer that goes on writing does not hold up the others.
constexpr int last_reads = 4096;

constexpr std::size_t pieces_per_write = 64;

// Bytes that are written in a row before others get the mutex: a peer that reads as fast as
// we write would hold up a ping for as long as an item lasts. 1 MiB takes 0.3 ms.
constexpr std::size_t written_in_a_row = 1024 * 1024;

bool would_block(const error_code& error) {
  return error == boost::asio::error::would_block || error == boost::asio::error::try_again;
}

std::string lost_text(const error_code& error) {
  constexpr const char* lost = "the connection was lost";
  return error == boost::asio::error::eof ? lost : std::string(lost) + ": " + error.message();
}

}  // namespace

Connection::Connection(std::shared_ptr<Runtime> runtime, std::unique_ptr<ByteStream> stream,
                       const Multiplexer::Settings& settings)
    : runtime_(std::move(runtime)),
      stream_(std::move(stream)),
      machine_(settings, *this),
      direct_writes_(direct_writes_in_a_row) {}

Connection::~Connection() {
  if (!fork_.in_child()) stream_->close();
}

void Connection::start(std::weak_ptr<Owner> owner, std::optional<Nonce> nonce, Bytes bootstrap, const Value& hello,
                       Bytes received) {
  std::unique_lock lock(mutex_);
  owner_ = std::move(owner);
  if (nonce) preamble_.emplace(*nonce);
  machine_.preface(bootstrap);
  machine_.hello(encode_pickle(hello));
  write_out();
  if (!received.empty() && !machine_.feed(received))
    return stream_ended(lock, errc::protocol_error, "protocol error: " + machine_.failure());
  write_out();
  wait_readable();
}

// --- reading

void Connection::wait_readable() {
  if (reading_ || stream_over_) return;
  reading_ = true;
  stream_->wait_readable([self = shared_from_this()](error_code error) { self->on_readable(error); });
}

void Connection::on_readable(error_code error) {
  std::unique_lock lock(mutex_);
  reading_ = false;
  std::string failure;
  try {
    for (int reads = 0; !error && reads < reads_in_a_row; ++reads)
      if (!read_some(error, failure)) break;
    if (!stream_over_ && failure.empty() && (!error || would_block(error))) {
      write_out();
      wait_readable();
      return;
    }
  } catch (const std::bad_alloc&) {  // this connection ends, others go on
    failure = out_of_memory;
  } catch (const std::exception& problem) {
    failure = text_from([&] { return std::string(problem.what()); });
  }
  if (stream_over_) return;
  if (!failure.empty())
    stream_ended(lock, errc::protocol_error, text_from([&] { return "protocol error: " + failure; }));
  else
    stream_ended(lock, errc::connection_lost, text_from([&] { return lost_text(error); }));
}

// True when there may be more.
bool Connection::read_some(error_code& error, std::string& failure) {
  if (preamble_) {
    const std::size_t size = read_preamble(error, failure);
    return size > 0 && failure.empty();
  }
  const auto buffers = machine_.prepare();
  std::size_t room = 0;
  for (const iovec& buffer : buffers) room += buffer.iov_len;
  const std::size_t size = stream_->read(buffers, error);
  if (error) return false;
  if (size == 0) {
    error = boost::asio::error::eof;
    return false;
  }
  if (!machine_.received(size)) failure = machine_.failure();
  return failure.empty() && size == room;
}

std::size_t Connection::read_preamble(error_code& error, std::string& failure) {
  std::array<std::byte, 4096> buffer;
  const iovec into{buffer.data(), buffer.size()};
  const std::size_t size = stream_->read({&into, 1}, error);
  if (error) return 0;
  if (size == 0) {
    error = boost::asio::error::eof;
    return 0;
  }
  std::span<const std::byte> rest;
  switch (preamble_->feed(std::span(buffer).first(size), rest)) {
    case Preamble::Result::searching: return size;
    case Preamble::Result::too_much_noise:
      failure = "more than " + std::to_string(limits::noise) + " bytes of noise and no marker, beginning with: " +
                escape_for_display(preamble_->noise().substr(0, 200));
      return size;
    case Preamble::Result::found: break;
  }
  noise_ = std::string(preamble_->noise());
  preamble_.reset();
  if (!machine_.feed(rest)) failure = machine_.failure();
  return size;
}

void Connection::stream_ended(std::unique_lock<std::mutex>& lock, error_code code, std::string text) noexcept {
  if (stream_over_) return;
  stream_over_ = true;
  stream_->close();
  if (preamble_ && code == errc::protocol_error) code = errc::bootstrap_noise;
  trace::log("stream ended: ", text);
  const auto owner = owner_.lock();
  lock.unlock();
  ConnectionEnd end{code, std::move(text), {}};
  try {
    if (owner) return owner->on_stream_end(std::move(end));
  } catch (const std::exception& problem) {  // memory, most likely
    trace::log("the end of the stream was not taken: ", problem.what());
    end = {code, out_of_memory, {}};
  }
  finish(std::move(end));
}

// --- writing

void Connection::write_out() noexcept {
  try {
    write_some();
  } catch (const std::exception& problem) {  // memory, most likely
    trace::log("writing failed: ", problem.what());
    fail_writing(boost::asio::error::no_memory);
  }
}

// The peer reads no more, or we cannot write; what it wrote before may still be there.
void Connection::fail_writing(error_code error) noexcept {
  write_failed_ = true;
  try {
    boost::asio::post(runtime_->io(), [self = shared_from_this(), error] { self->on_write_failed(error); });
  } catch (const std::bad_alloc&) {
    stream_->close();  // which whoever waits to read is told of
  }
  runtime_->keep_going();
}

void Connection::write_some() {
  std::size_t in_a_row = 0;
  while (!writing_ && !stream_over_ && !write_failed_ && machine_.has_output()) {
    if (in_a_row >= written_in_a_row) return wait_writable();
    std::array<iovec, pieces_per_write> room;
    const auto pieces = machine_.gather(room);
    if (pieces.empty()) return;
    error_code error;
    const std::size_t size = stream_->write(pieces, error);
    if (would_block(error)) {
      wait_writable();
    } else if (error) {
      fail_writing(error);
    } else {
      machine_.written(size);
      in_a_row += size;
    }
  }
}

void Connection::wait_writable() {
  writing_ = true;
  stream_->wait_writable([self = shared_from_this()](error_code) {
    const std::lock_guard lock(self->mutex_);
    self->writing_ = false;
    self->write_out();
  });
  runtime_->keep_going();
}

void Connection::on_write_failed(error_code error) {
  std::unique_lock lock(mutex_);
  try {
    error_code nothing_left;
    std::string failure;
    for (int reads = 0; reads < last_reads && !stream_over_ && !nothing_left && failure.empty(); ++reads)
      (void)read_some(nothing_left, failure);
  } catch (const std::exception& problem) {
    trace::log("last words were not read: ", problem.what());
  }
  stream_ended(lock, errc::connection_lost, text_from([&] { return lost_text(error); }));
}

// A send was queued: out with it, or, in a flood, wait for more.
void Connection::output_added() {
  if (direct_writes_ == 0 && !flush_pending_) {
    const auto now = Clock::now();
    if (now - std::exchange(direct_writes_since_, now) > direct_writes_time) direct_writes_ = direct_writes_in_a_row;
  }
  if (direct_writes_ > 0) {
    --direct_writes_;
    write_out();
  } else if (machine_.queued() >= coalesced_write) {
    write_out();
  } else if (!flush_pending_) {
    runtime_->flush_soon(weak_from_this());
    flush_pending_ = true;
  }
}

void Connection::flush() {
  const std::lock_guard lock(mutex_);
  flush_pending_ = false;
  const bool over = machine_.queued() < flood_per_tick;
  if (over) direct_writes_ = direct_writes_in_a_row;
  if (machine_.has_output()) write_out();
  if (over || writing_) return;  // the stream is full: the next send asks again
  flush_pending_ = true;         // once more, to see the flood end
  runtime_->flush_soon(weak_from_this());
}

bool Connection::drained() {
  if (fork_.in_child()) return true;
  const std::lock_guard lock(mutex_);
  write_out();
  return stream_over_ || write_failed_ || !machine_.has_output();
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

// Nothing must be left unsent by somebody who waits.
void Connection::about_to_wait() noexcept {
  write_out();
  direct_writes_ = direct_writes_in_a_row;
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
