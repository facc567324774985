#include "channels/connection.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

#include "channels/callback_scope.hpp"
#include "channels/channel_handle.hpp"
#include "core/escape.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

namespace {

using boost::system::error_code;

// So many sends after a pause are written at once, one write each: a task that sends a
// few items and crashes loses none of them. A flood beyond that is coalesced, which is
// what makes it faster than one write per item.
constexpr int direct_writes_after_pause = 32;
constexpr std::size_t coalesced_write = 32 * 1024;

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

/// A waiter on a channel that is a thread.
class ThreadWaiter final : public ChannelWaiter {
 public:
  explicit ThreadWaiter(Waiter& waiter) : waiter_(waiter) {}
  void wake() override { waiter_.notify(); }

 private:
  Waiter& waiter_;
};

}  // namespace

struct Connection::Request {
  explicit Request(Runtime& runtime) : waiter(runtime) {}
  Waiter waiter;
  std::optional<Bytes> answer;
};

/// A send whose payload stays with the thread that waits for it.
class Connection::BlockingSend final : public OutItem {
 public:
  BlockingSend(Runtime& runtime, const EncodedItem& item) : OutItem(item.kind, item.payload), waiter(runtime) {}
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
  DetachedSend(const EncodedItem& item, std::function<void(error_code)> done)
      : OutItem(item.kind, item.payload), done_(std::move(done)) {}
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

Connection::Connection(std::shared_ptr<Runtime> runtime, std::unique_ptr<ByteStream> stream,
                       const Multiplexer::Settings& settings)
    : runtime_(std::move(runtime)),
      stream_(std::move(stream)),
      machine_(settings, *this),
      direct_writes_(direct_writes_after_pause) {}

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
  } catch (const std::exception& problem) {  // memory, most likely: this connection ends, others go on
    failure = problem.what();
  }
  if (stream_over_) return;
  if (!failure.empty()) {
    stream_ended(lock, errc::protocol_error, "protocol error: " + failure);
  } else {
    stream_ended(
        lock, errc::connection_lost,
        error == boost::asio::error::eof ? "the connection was lost" : "the connection was lost: " + error.message());
  }
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

void Connection::stream_ended(std::unique_lock<std::mutex>& lock, error_code code, std::string text) {
  if (stream_over_) return;
  stream_over_ = true;
  stream_->close();
  if (preamble_ && code == errc::protocol_error) code = errc::bootstrap_noise;
  trace::log("stream ended: ", text);
  const auto owner = owner_.lock();
  lock.unlock();
  ConnectionEnd end{code, std::move(text), {}};
  if (owner)
    owner->on_stream_end(std::move(end));
  else
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
void Connection::fail_writing(error_code error) {
  write_failed_ = true;
  boost::asio::post(runtime_->io(), [self = shared_from_this(), error] { self->on_write_failed(error); });
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
  stream_ended(lock, errc::connection_lost, "the connection was lost: " + error.message());
}

// A send was queued: out with it, or, in a flood, wait for more.
void Connection::output_added() {
  if (direct_writes_ > 0) {
    --direct_writes_;
    write_out();
  } else if (machine_.queued() >= coalesced_write) {
    write_out();
  } else if (!flush_pending_) {
    flush_pending_ = true;
    runtime_->flush_soon(weak_from_this());
  }
}

void Connection::flush() {
  const std::lock_guard lock(mutex_);
  flush_pending_ = false;
  if (!machine_.has_output()) {
    direct_writes_ = direct_writes_after_pause;
    return;
  }
  write_out();
  if (writing_) return;   // the stream is full: the next send asks again
  flush_pending_ = true;  // once more, to see the flood end
  runtime_->flush_soon(weak_from_this());
}

bool Connection::drained() {
  const std::lock_guard lock(mutex_);
  write_out();
  return stream_over_ || write_failed_ || !machine_.has_output();
}

// --- sending

void Connection::check_sendable(const ChannelState& channel, std::size_t payload) const {
  if (payload > peer_max_item_)
    throw_error(errc::item_too_large, "item of " + std::to_string(payload) + " bytes, the limit (max_item) is " +
                                          std::to_string(peer_max_item_));
  if (channel.sendable) return;
  if (end_ && !channel.closed) throw_end();
  throw_error(errc::channel_closed, "cannot send to <Channel id=" + std::to_string(channel.id) + " closed>");
}

// Before the mutex: in a forked child it may be locked for ever.
void Connection::check_process() const {
  if (fork_.in_child()) throw_error(errc::terminated, "a connection of the parent process: not usable after fork");
}

// Before anything of the waiting thread's stack is registered.
void Connection::check_may_wait() {
  if (Runtime::in_handler()) throw_error(errc::would_deadlock, "a blocking call on the thread that does the I/O");
}

bool Connection::try_send(const ChannelPtr& channel, const EncodedItem& item) {
  check_process();
  const std::lock_guard lock(mutex_);
  check_sendable(*channel, item.payload.size());
  if (!machine_.send_now(*channel, item.kind, item.payload)) return false;
  output_added();
  return true;
}

void Connection::send(const ChannelPtr& channel, const EncodedItem& item, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  check_sendable(*channel, item.payload.size());
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
    const auto send = std::make_shared<DetachedSend>(item.kind, Bytes(item.payload), [&](error_code error) {
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
  return send_detached(channel, std::make_shared<DetachedSend>(item, std::move(done)));
}

Connection::PendingSend Connection::send_detached(const ChannelPtr& channel, std::shared_ptr<DetachedSend> send) {
  const std::lock_guard lock(mutex_);
  if (send->payload.size() > peer_max_item_) {
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
  const std::lock_guard lock(mutex_);
  const auto send = pending.lock();
  if (!send || !machine_.withdraw(*channel, *send)) return false;
  send->abandon();
  send->drop();
  return true;
}

// --- receiving

namespace {

[[noreturn]] void throw_has_callback(const ChannelState& channel) {
  throw_error(errc::has_callback, "channel " + std::to_string(channel.id) + " has a callback");
}

}  // namespace

void Connection::after_take() {
  if (machine_.has_control()) write_out();
}

// The text stays for error_text(); the error itself is raised once.
void Connection::throw_channel_error(ChannelState& channel) {
  if (channel.error_raised || !channel.error) return;
  channel.error_raised = true;
  throw RemoteError(*channel.error);
}

std::optional<InItem> Connection::take_or_throw(ChannelState& channel) {
  if (channel.callback) throw_has_callback(channel);
  if (auto item = machine_.take(channel)) {
    after_take();
    return item;
  }
  if (channel.receivable) return {};
  throw_channel_error(channel);
  if (end_ && !channel.closed) throw_end();
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
  throw_channel_error(channel);
  if (end_ && !channel.closed) throw_end();
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
  // On the callback thread nobody can wait for the end's callback: receivers wake before it.
  auto& waiters = on_callback_thread() ? channel->receivers : channel->end_waiters;
  waiters.push_back(&entry);
  const bool notified = wait_for(lock, waiter, deadline);
  std::erase(waiters, &entry);
  if (ended_or_throw(*channel)) return true;
  if (notified) return false;  // by somebody else
  throw_error(errc::timed_out, "channel " + std::to_string(channel->id) + " did not end in time");
}

void Connection::add_receiver(const ChannelPtr& channel, ChannelWaiter& waiter) {
  const std::lock_guard lock(mutex_);
  if (!channel->arrived.empty() || !channel->receivable || channel->callback) return waiter.wake();
  channel->receivers.push_back(&waiter);
  runtime_->keep_going();
}

void Connection::add_end_waiter(const ChannelPtr& channel, ChannelWaiter& waiter) {
  const std::lock_guard lock(mutex_);
  if (ended(*channel)) return waiter.wake();
  channel->end_waiters.push_back(&waiter);
  runtime_->keep_going();
}

bool Connection::remove_waiter(const ChannelPtr& channel, ChannelWaiter& waiter) {
  const std::lock_guard lock(mutex_);
  return std::erase(channel->receivers, &waiter) + std::erase(channel->end_waiters, &waiter) > 0;
}

// --- channels

Connection::ChannelPtr Connection::open_channel() {
  check_process();
  const std::lock_guard lock(mutex_);
  if (end_) throw_end();
  const ChannelPtr channel = machine_.open();
  channel->claimed = true;
  return channel;
}

void Connection::close(const ChannelPtr& channel, std::optional<std::string_view> error) {
  check_process();
  const std::lock_guard lock(mutex_);
  if (!channel->closed) channel->closed_here = true;
  machine_.close(channel, error);
  write_out();
}

void Connection::release(const ChannelPtr& channel) noexcept {
  if (fork_.in_child()) return;
  try {
    const std::lock_guard lock(mutex_);
    if (!channel->handle.expired() || channel->closed || end_) return;
    if (channel->callback && channel->receivable) {
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

void Connection::interrupt(const ChannelPtr& channel) {
  const std::lock_guard lock(mutex_);
  if (channel->closed || end_) return;
  machine_.interrupt(*channel);
  write_out();
}

std::uint32_t Connection::id_of(const ChannelRef& channel) {
  const auto* const handle = static_cast<const ChannelHandle*>(channel.object.get());
  if (handle == nullptr || handle->connection.get() != this)
    throw_error(errc::bad_channel, "can't serialize a channel of another gateway");
  return handle->state->id;
}

ChannelRef Connection::channel(std::uint32_t id) {
  ChannelPtr state;
  {
    const std::lock_guard lock(mutex_);
    state = machine_.claim(id);
  }
  if (!state) throw LoadError(errc::bad_channel, "channel " + std::to_string(id) + " was never opened");
  return {id, handle_of(state)};
}

std::shared_ptr<ChannelHandle> Connection::handle_of(const ChannelPtr& channel) {
  const std::lock_guard lock(mutex_);
  auto handle = std::static_pointer_cast<ChannelHandle>(channel->handle.lock());
  if (!handle) channel->handle = handle = std::make_shared<ChannelHandle>(shared_from_this(), channel);
  return handle;
}

// --- the connection

Bytes Connection::request(std::unordered_map<std::uint64_t, Request*>& waiting, Deadline deadline) {
  check_process();
  std::unique_lock lock(mutex_);
  if (end_) throw_end();
  check_may_wait();
  const std::uint64_t number = next_request_++;
  Request request(*runtime_);
  if (&waiting == &pings_)
    machine_.ping(number);
  else
    machine_.request_status(number);
  waiting.emplace(number, &request);
  const bool notified = wait_for(lock, request.waiter, deadline);
  waiting.erase(number);
  if (request.answer) return std::move(*request.answer);
  if (end_) throw_end();
  throw_error(errc::timed_out, notified ? "no answer" : "the agent did not answer in time");
}

void Connection::finish_request(std::unordered_map<std::uint64_t, Request*>& waiting, std::uint64_t number,
                                Bytes answer) {
  const auto found = waiting.find(number);
  if (found == waiting.end()) return;  // nobody waits any more
  found->second->answer = std::move(answer);
  found->second->waiter.notify();
}

Value Connection::status(Deadline deadline) { return decode_pickle(request(statuses_, deadline)); }

void Connection::ping(Deadline deadline) { (void)request(pings_, deadline); }

void Connection::send_ping() {
  const std::lock_guard lock(mutex_);
  machine_.ping(0);
  write_out();
}

void Connection::send_terminate() {
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

bool Connection::wait_finished(Deadline deadline) { return wait_state(finished_, deadline); }

bool Connection::ready() {
  const std::lock_guard lock(mutex_);
  return ready_;
}

bool Connection::finished() {
  if (fork_.in_child()) return true;
  const std::lock_guard lock(mutex_);
  return finished_;
}

std::size_t Connection::live_channels() {
  if (fork_.in_child()) return 0;
  const std::lock_guard lock(mutex_);
  return machine_.live();
}

std::string Connection::noise() {
  const std::lock_guard lock(mutex_);
  return preamble_ ? std::string(preamble_->noise()) : noise_;
}

void Connection::finish(ConnectionEnd end) {
  std::shared_ptr<Owner> owner;
  {
    const std::lock_guard lock(mutex_);
    if (end_) return;
    stream_over_ = true;
    stream_->close();
    end_ = std::move(end);
    machine_.fail(end_->code);
    for (auto* const waiting : {&pings_, &statuses_})
      for (const auto& [number, request] : *waiting) request->waiter.notify();
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
}

// Nothing must be left unsent by somebody who waits.
bool Connection::wait_for(std::unique_lock<std::mutex>& lock, Waiter& waiter, Deadline deadline) {
  write_out();
  direct_writes_ = direct_writes_after_pause;
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
  if (channel->callback) {
    callback_queue_.item(channel);
    return post_callbacks();
  }
  if (channel->receivers.empty()) return;
  ChannelWaiter* const first = channel->receivers.front();
  channel->receivers.erase(channel->receivers.begin());
  first->wake();
}

void Connection::on_end(const ChannelPtr& channel) {
  for (ChannelWaiter* waiter : std::exchange(channel->receivers, {})) waiter->wake();
  if (channel->callback) {
    callback_queue_.end(channel);
    post_callbacks();
  }
  if (ended(*channel)) wake_end_waiters(*channel);
}

void Connection::wake_end_waiters(ChannelState& channel) {
  for (ChannelWaiter* waiter : std::exchange(channel.end_waiters, {})) waiter->wake();
}

void Connection::on_exec(const ChannelPtr& channel, Bytes request) {
  if (const auto owner = owner_.lock()) owner->on_exec(channel, std::move(request));
}

void Connection::on_interrupt(const ChannelPtr& channel) {
  if (const auto owner = owner_.lock()) owner->on_interrupt(channel);
}

void Connection::on_terminate() {
  if (const auto owner = owner_.lock()) owner->on_terminate();
}

void Connection::on_pong(std::uint64_t cookie) {
  if (cookie != 0) return finish_request(pings_, cookie, {});
  if (const auto owner = owner_.lock()) owner->on_pong();
}

void Connection::on_status(std::uint64_t number) {
  const auto owner = owner_.lock();
  if (owner) machine_.reply_status(number, encode_pickle(owner->on_status(machine_.live())));
}

void Connection::on_status_reply(std::uint64_t number, std::span<const std::byte> pickle) {
  finish_request(statuses_, number, Bytes(pickle));
}

}  // namespace gangway::detail
