// A file descriptor with one owner. Movable between threads, used by one at a time.
#pragma once

#include <boost/system/error_code.hpp>

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <gangway/error.hpp>

namespace gangway::detail {

class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~FileDescriptor() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  /// Keeps errno. Linux frees the number even when close() says EINTR (close(2)): a second
  /// close would hit whoever got it meanwhile.
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old < 0 || old == fd) return;
    const int saved = errno;
    ::close(old);
    errno = saved;
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  FileDescriptor read;
  FileDescriptor write;
};

[[nodiscard]] inline boost::system::error_code last_os_error() noexcept {
  return {errno, boost::system::system_category()};
}

/// Moves a descriptor out of the way of 0, 1 and 2, which a program that closed its own
/// would get here, and then print into. CLOEXEC. False with errno when it cannot.
[[nodiscard]] inline bool avoid_standard_numbers(FileDescriptor& fd) noexcept {
  if (fd.get() > STDERR_FILENO) return true;
  const int higher = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (higher < 0) return false;
  fd.reset(higher);
  return true;
}

/// Both ends CLOEXEC and blocking. Throws Error with the errno when the system has none left.
[[nodiscard]] inline Pipe make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw_error(last_os_error(), "cannot make a pipe: " + last_os_error().message());
  Pipe result{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
  if (!avoid_standard_numbers(result.read) || !avoid_standard_numbers(result.write)) {
    throw_error(last_os_error(), "cannot make a pipe: " + last_os_error().message());
  }
  return result;
}

[[nodiscard]] inline boost::system::error_code set_nonblocking(int fd, bool on = true) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return last_os_error();
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && ::fcntl(fd, F_SETFL, wanted) != 0) return last_os_error();
  return {};
}

}  // namespace gangway::detail
