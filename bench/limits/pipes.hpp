// What the limits share: two pipes of 1 MiB to a forked child, and whole reads and writes.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

namespace limits {

struct Pipes {
  int to_child[2];
  int from_child[2];

  Pipes() {
    if (::pipe(to_child) != 0 || ::pipe(from_child) != 0) std::abort();
    (void)::fcntl(to_child[1], F_SETPIPE_SZ, 1024 * 1024);
    (void)::fcntl(from_child[1], F_SETPIPE_SZ, 1024 * 1024);
  }
};

inline void write_all(int fd, const void* from, std::size_t size) {
  const char* at = static_cast<const char*>(from);
  while (size > 0) {
    const ssize_t part = ::write(fd, at, size);
    if (part <= 0) std::_Exit(3);
    at += part;
    size -= static_cast<std::size_t>(part);
  }
}

inline void read_all(int fd, void* to, std::size_t size) {
  char* at = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t part = ::read(fd, at, size);
    if (part <= 0) std::_Exit(3);
    at += part;
    size -= static_cast<std::size_t>(part);
  }
}

/// Runs `body` in a child, whose end of the pipes is returned as (in, out) to it.
template <class Body>
pid_t in_child(const Pipes& pipes, Body body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::close(pipes.to_child[1]);
  ::close(pipes.from_child[0]);
  body(pipes.to_child[0], pipes.from_child[1]);
  std::_Exit(0);
}

}  // namespace limits
