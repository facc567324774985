// Two connected sockets, and streams over them.
#pragma once

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "gateways/fd_stream.hpp"

namespace gangway::testing {

struct SocketPair {
  SocketPair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ours = detail::FileDescriptor(fds[0]);
    theirs = detail::FileDescriptor(fds[1]);
  }
  detail::FileDescriptor ours, theirs;
};

[[nodiscard]] inline std::unique_ptr<detail::FdStream> stream_of(boost::asio::io_context& io,
                                                                 detail::FileDescriptor socket) {
  detail::FileDescriptor copy(::dup(socket.get()));
  return std::make_unique<detail::FdStream>(io, std::move(socket), std::move(copy));
}

}  // namespace gangway::testing
