#include "gateways/stderr_pump.hpp"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <gangway/limits.hpp>

namespace gangway::detail {

namespace {

// A line without end is forwarded in pieces of this size.
constexpr std::size_t longest_line = 64 * 1024;

// How soon a stderr that took nothing is tried again.
constexpr std::chrono::milliseconds retry_after{50};

// At most PIPE_BUF bytes: so many never block once poll() says that there is room
// (pipe(7)). Returns how many were written; a stderr that is broken takes everything.
std::size_t write_without_blocking(std::string_view text) noexcept {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&room, 1, 0) == 0) return 0;
  const ssize_t size = ::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
  if (size >= 0) return static_cast<std::size_t>(size);
  return errno == EINTR || errno == EAGAIN ? 0 : text.size();
}

}  // namespace

StderrPump::StderrPump(boost::asio::io_context& io, FileDescriptor from) : from_(io, from.release()), retry_(io) {
  from_.non_blocking(true);
}

void StderrPump::start() { wait(); }

void StderrPump::wait() {
  from_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](boost::system::error_code error) {
                     const std::lock_guard lock(self->mutex_);
                     if (error || self->ended_) return;
                     self->read_some();
                     if (!self->forward())
                       self->retry_later();
                     else if (!self->ended_)
                       self->wait();
                   });
}

void StderrPump::retry_later() {
  retry_.expires_after(retry_after);
  retry_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    const std::lock_guard lock(self->mutex_);
    if (error) return;
    if (!self->forward())
      self->retry_later();
    else if (!self->ended_)
      self->wait();
  });
}

bool StderrPump::read_some() noexcept {
  std::array<char, 16 * 1024> buffer;
  ssize_t size;
  do size = ::read(from_.native_handle(), buffer.data(), buffer.size());
  while (size < 0 && errno == EINTR);
  if (size > 0) {
    const std::string_view text(buffer.data(), static_cast<std::size_t>(size));
    pending_.append(text);
    tail_.append(text);
    if (tail_.size() > limits::stderr_tail) tail_.erase(0, tail_.size() - limits::stderr_tail);
    return true;
  }
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  ended_ = true;
  if (!pending_.empty() && pending_.back() != '\n') pending_ += '\n';
  return false;
}

bool StderrPump::forward() noexcept {
  const std::size_t end = pending_.rfind('\n');
  std::size_t whole = end != std::string::npos ? end + 1 : pending_.size() >= longest_line ? pending_.size() : 0;
  while (whole > 0) {
    const std::size_t size = write_without_blocking(std::string_view(pending_).substr(0, whole));
    if (size == 0) return false;
    pending_.erase(0, size);
    whole -= size;
  }
  return true;
}

void StderrPump::drain() noexcept {
  const std::lock_guard lock(mutex_);
  for (int reads = 0; reads < 64 && pending_.size() < longest_line && !ended_ && from_.is_open() && read_some();
       ++reads) {
  }
  forward();
}

void StderrPump::close() noexcept {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (!pending_.empty() && pending_.back() != '\n') pending_ += '\n';
  forward();
  retry_.cancel();
  boost::system::error_code ignored;
  from_.close(ignored);
}

std::string StderrPump::tail() {
  const std::lock_guard lock(mutex_);
  return tail_;
}

}  // namespace gangway::detail
