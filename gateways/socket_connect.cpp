#include "gateways/socket_connect.hpp"

#include <sys/socket.h>

#include <utility>

namespace gangway::detail {

using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds full_queue_pause{20};

error_code pending_error(int socket) {
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &number, &size) != 0) return last_os_error();
  return {number, boost::system::system_category()};
}

}  // namespace

SocketConnect::SocketConnect(boost::asio::io_context& io, std::vector<SocketAddress> addresses,
                             std::chrono::milliseconds patience, Done done)
    : addresses_(std::move(addresses)), patience_(patience), done_(std::move(done)), socket_(io), timer_(io) {}

void SocketConnect::cancel() noexcept {
  done_ = nullptr;
  error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

void SocketConnect::next() {
  const SocketAddress& address = addresses_[tried_++];
  FileDescriptor fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd || !avoid_standard_numbers(fd)) return conclude(last_os_error());
  const int result = ::connect(fd.get(), address.get(), address.size);
  const error_code error = result == 0 ? error_code() : last_os_error();
  error_code problem;
  socket_.assign(fd.get(), problem);
  if (problem) return conclude(problem);
  (void)fd.release();
  if (!error) return conclude({});
  if (error.value() == EAGAIN) return try_again();
  if (error.value() != EINPROGRESS) return conclude(error);
  await();
}

// A Unix socket whose queue is full does not tell when there is room again.
void SocketConnect::try_again() {
  socket_.close();
  --tried_;
  timer_.expires_after(full_queue_pause);
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->done_) self->next();
  });
}

void SocketConnect::await() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this(), tried = tried_](error_code error) {
                       if (error || !self->done_ || tried != self->tried_) return;  // given up
                       self->timer_.cancel();
                       self->conclude(pending_error(self->socket_.native_handle()));
                     });
  if (tried_ == addresses_.size()) return;  // whoever wants the connection has a deadline
  timer_.expires_after(patience_);
  timer_.async_wait([self = shared_from_this(), tried = tried_](error_code error) {
    if (error || !self->done_ || tried != self->tried_ || !self->socket_.is_open()) return;
    self->conclude(error_code(ETIMEDOUT, boost::system::system_category()));
  });
}

void SocketConnect::conclude(error_code error) {
  if (!done_) return;
  FileDescriptor fd(socket_.is_open() ? socket_.release() : -1);
  if (error) {
    fd.reset();
    if (tried_ < addresses_.size()) return next();
  }
  std::exchange(done_, nullptr)(std::move(fd), error, addresses_[tried_ - 1]);
}

}  // namespace gangway::detail
