// Bytes: from the stream into the machine, and out of it.
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <utility>

#include "channels/connection.hpp"
#include "core/error_text.hpp"
#include "core/escape.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

using boost::system::error_code;

namespace {

// Sends are written at once, one write each, as long as so many take so long, or there is a pause
// between them: a task that sends and crashes loses none of them, but on a line whose pace is bounded. A flood of more
// than 50,000 a second is coalesced, which is what makes it faster than one write per item.
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

std::string lost_text(const error_code& error) {
  constexpr const char* lost = "the connection was lost";
  return error == boost::asio::error::eof ? lost : std::string(lost) + ": " + error.message();
}

}  // namespace

void Connection::start(std::weak_ptr<Owner> owner, std::optional<Nonce> nonce, Bytes bootstrap, const Value& hello,
                       Bytes received) {
  std::unique_lock lock(mutex_);
  owner_ = std::move(owner);
  if (nonce) preamble_.emplace(*nonce);
  limit_backlog();
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
  while (!writing_ && !stream_over_ && !write_failed_ && machine_.has_output()) {
    if (pace_.is_due()) return wait_writable();
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
      pace_.wrote(size);
    }
  }
  if (!writing_) pace_.rest();
}

void Connection::wait_writable() {
  writing_ = true;
  stream_->wait_writable([self = shared_from_this(), since = Clock::now()](error_code) {
    const std::lock_guard lock(self->mutex_);
    self->writing_ = false;
    if (self->pace_.waited(Clock::now() - since)) self->limit_backlog();
    self->write_out();
  });
  runtime_->keep_going();
}

void Connection::limit_backlog() noexcept {
  if (!stream_->limit_backlog(pace_.backlog())) pace_.lift();
  machine_.limit_ahead(pace_.limit());
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

// Nothing must be left unsent by somebody who waits.
void Connection::about_to_wait() noexcept {
  write_out();
  direct_writes_ = direct_writes_in_a_row;
}

}  // namespace gangway::detail
