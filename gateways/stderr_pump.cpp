#include "gateways/stderr_pump.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include <gangway/error.hpp>

namespace gangway::detail {

StderrPump::StderrPump(boost::asio::io_context& io, FileDescriptor from) : from_(io) {
  boost::system::error_code error = set_nonblocking(from.get());
  if (!error) from_.assign(from.get(), error);
  if (error) throw_error(error, "cannot watch a stderr: " + error.message());
  (void)from.release();
}

void StderrPump::start(std::string gateway, std::shared_ptr<OutputSink> sink) {
  const std::lock_guard lock(mutex_);
  lines_.start(std::move(gateway), std::move(sink));
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
    lines_.add({buffer.data(), static_cast<std::size_t>(size)});
    return true;
  }
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  ended_ = true;
  lines_.complete();
  return false;
}

bool StderrPump::pass_on() noexcept {
  if (refused_) return false;
  try {
    refused_ = !lines_.pass_on([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->on_room();
    });
  } catch (const std::bad_alloc&) {  // they go with the next ones
  }
  return !refused_;
}

void StderrPump::on_room() {
  const std::lock_guard lock(mutex_);
  refused_ = false;
  if (pass_on() && !ended_ && from_.is_open()) wait();
}

void StderrPump::drain() noexcept {
  const std::lock_guard lock(mutex_);
  for (int reads = 0; reads < 64 && !lines_.is_full() && !ended_ && from_.is_open() && read_some(); ++reads) {
  }
  pass_on();
}

void StderrPump::close() noexcept {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  lines_.push();
  boost::system::error_code ignored;
  from_.close(ignored);
}

std::string StderrPump::tail() {
  const std::lock_guard lock(mutex_);
  return lines_.tail();
}

}  // namespace gangway::detail
