#include "gateways/fd_stream.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <climits>
#include <ctime>
#include <utility>

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace gangway::detail {

namespace {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

bool is_socket(int fd) {
  struct stat status;
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

bool ignores_broken_pipes() {
  struct sigaction current;
  return ::sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_IGN;
}

/// Keeps a SIGPIPE of this thread's own write away from the program.
class BlockedSigPipe {
 public:
  BlockedSigPipe() noexcept {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~BlockedSigPipe() {
    const int saved = errno;
    // Where the program blocks it itself, one may have been pending before: it keeps both.
    if (saved == EPIPE && ::sigismember(&before_, SIGPIPE) == 0) {
      const timespec now{};
      while (::sigtimedwait(&set_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = saved;
  }
  BlockedSigPipe(const BlockedSigPipe&) = delete;
  BlockedSigPipe& operator=(const BlockedSigPipe&) = delete;

 private:
  sigset_t set_;
  sigset_t before_;
};

void assign(stream_descriptor& descriptor, FileDescriptor fd) {
  error_code error = set_nonblocking(fd.get());
  if (!error) descriptor.assign(fd.get(), error);
  if (error) throw_error(error, "cannot watch descriptor " + std::to_string(fd.get()) + ": " + error.message());
  (void)fd.release();
  descriptor.non_blocking(true, error);  // so that Asio does not ask the system again
}

int count_of(std::span<const iovec> buffers) {
  return static_cast<int>(std::min<std::size_t>(buffers.size(), IOV_MAX));
}

// The result of a system call that was repeated while it said EINTR.
template <class Call>
std::size_t repeated(error_code& error, Call call) {
  ssize_t size;
  do {
    size = call();
  } while (size < 0 && errno == EINTR);
  if (size >= 0) {
    error = {};
    return static_cast<std::size_t>(size);
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    error = boost::asio::error::would_block;
  else
    error = last_os_error();
  return 0;
}

}  // namespace

FdStream::FdStream(boost::asio::io_context& io, FileDescriptor read_end, FileDescriptor write_end, FileDescriptor held)
    : read_end_(io),
      write_end_(io),
      held_(std::move(held)),
      backlog_(write_end.get()),
      broken_pipe_(is_socket(write_end.get())        ? BrokenPipe::no_signal_flag
                   : held_ || ignores_broken_pipes() ? BrokenPipe::no_signal
                                                     : BrokenPipe::block_signal) {
  assign(read_end_, std::move(read_end));
  assign(write_end_, std::move(write_end));
}

FdStream::~FdStream() { close(); }

std::size_t FdStream::read(std::span<const iovec> buffers, error_code& error) {
  const int fd = read_end_.native_handle();
  if (buffers.size() == 1) return repeated(error, [&] { return ::read(fd, buffers[0].iov_base, buffers[0].iov_len); });
  return repeated(error, [&] { return ::readv(fd, buffers.data(), count_of(buffers)); });
}

std::size_t FdStream::write(std::span<const iovec> buffers, error_code& error) {
  return repeated(error, [&] { return write_quietly(buffers); });
}

ssize_t FdStream::write_quietly(std::span<const iovec> buffers) noexcept {
  const int fd = write_end_.native_handle();
  const auto plain = [&] {
    if (buffers.size() == 1) return ::write(fd, buffers[0].iov_base, buffers[0].iov_len);
    return ::writev(fd, buffers.data(), count_of(buffers));
  };
  switch (broken_pipe_) {
    case BrokenPipe::no_signal: return plain();
    case BrokenPipe::no_signal_flag: {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(buffers.data());
      message.msg_iovlen = static_cast<std::size_t>(count_of(buffers));
      return ::sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    case BrokenPipe::block_signal: break;
  }
  const BlockedSigPipe blocked;
  return plain();
}

void FdStream::wait_readable(ReadyHandler handler) {
  read_end_.async_wait(stream_descriptor::wait_read, std::move(handler));
}

void FdStream::wait_writable(ReadyHandler handler) {
  write_end_.async_wait(stream_descriptor::wait_write, std::move(handler));
}

bool FdStream::limit_backlog(const std::optional<Backlog>& most) noexcept {
  return backlog_.limit(write_end_.native_handle(), most);
}

void FdStream::close() noexcept {
  error_code ignored;
  read_end_.close(ignored);
  write_end_.close(ignored);
  held_ = {};
}

}  // namespace gangway::detail
