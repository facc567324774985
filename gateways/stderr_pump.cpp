#include "gateways/stderr_pump.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

// A line without end is passed on in pieces of this size.
constexpr std::size_t longest_line = 64 * 1024;

}  // namespace

StderrPump::StderrPump(boost::asio::io_context& io, FileDescriptor from) : from_(io) {
  boost::system::error_code error = set_nonblocking(from.get());
  if (!error) from_.assign(from.get(), error);
  if (error) throw_error(error, "cannot watch a stderr: " + error.message());
  (void)from.release();
}

void StderrPump::start(std::string gateway, std::shared_ptr<OutputSink> sink) {
  const std::lock_guard lock(mutex_);
  gateway_ = std::move(gateway);
  sink_ = std::move(sink);
  wait();
}

void StderrPump::wait() {
  if (std::exchange(waiting_, true)) return;
  from_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](boost::system::error_code error) {
                     const std::lock_guard lock(self->mutex_);
                     self->waiting_ = false;
                     if (error || self->ended_) return;
                     self->read_some();
                     if (self->pass_on() && !self->ended_) self->wait();
                   });
}

bool StderrPump::read_some() noexcept {
  std::array<char, 16 * 1024> buffer;
  ssize_t size;
  do size = ::read(from_.native_handle(), buffer.data(), buffer.size());
  while (size < 0 && errno == EINTR);
  if (size > 0) {
    try {
      const std::string_view text(buffer.data(), static_cast<std::size_t>(size));
      pending_.append(text);
      tail_.append(text);
      if (tail_.size() > limits::stderr_tail) tail_.erase(0, tail_.size() - limits::stderr_tail);
    } catch (const std::bad_alloc&) {
      drop_pending();
    }
    return true;
  }
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  end();
  return false;
}

void StderrPump::end() noexcept {
  ended_ = true;
  if (pending_.empty() || pending_.back() == '\n') return;
  try {
    pending_ += '\n';
  } catch (const std::bad_alloc&) {
    pending_.back() = '\n';
  }
}

// A stderr that nobody reads would hold up the process that writes it.
void StderrPump::drop_pending() noexcept {
  trace::log("gateway ", gateway_, ": no memory for ", pending_.size(), " bytes of its stderr");
  pending_.clear();
}

bool StderrPump::pass_on() noexcept {
  try {
    return offer_lines();
  } catch (const std::exception&) {  // memory, most likely
    drop_pending();
    return true;
  }
}

// False when there is no room for them now.
bool StderrPump::offer_lines() {
  if (refused_) return false;
  const std::size_t end = pending_.rfind('\n');
  const std::size_t whole = end != std::string::npos ? end + 1 : pending_.size() >= longest_line ? pending_.size() : 0;
  if (whole == 0 || !sink_) return true;
  Output output{gateway_, 0, OutputStream::err, pending_.substr(0, whole)};
  refused_ = !sink_->offer(output, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_room();
  });
  if (refused_) return false;
  pending_.erase(0, whole);
  return true;
}

void StderrPump::on_room() {
  const std::lock_guard lock(mutex_);
  refused_ = false;
  if (pass_on() && !ended_ && from_.is_open()) wait();
}

void StderrPump::drain() noexcept {
  const std::lock_guard lock(mutex_);
  for (int reads = 0; reads < 64 && pending_.size() < longest_line && !ended_ && from_.is_open() && read_some();
       ++reads) {
  }
  pass_on();
}

void StderrPump::close() noexcept {
  const std::lock_guard lock(mutex_);
  end();
  try {
    if (!pending_.empty() && sink_) sink_->push({gateway_, 0, OutputStream::err, std::exchange(pending_, {})});
  } catch (const std::exception&) {
    drop_pending();
  }
  boost::system::error_code ignored;
  from_.close(ignored);
}

std::string StderrPump::tail() {
  const std::lock_guard lock(mutex_);
  return tail_;
}

}  // namespace gangway::detail
