// Bytes between two streams, and what a socket may hold of them.
#include "gateways/stream_bridge.hpp"

#include <gtest/gtest.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>

#include "core/process.hpp"
#include "gateways/fd_stream.hpp"
#include "gateways/socket_backlog.hpp"

namespace gangway::testing {
namespace {

using detail::Backlog;
using detail::FdStream;
using detail::FileDescriptor;
using detail::SocketBacklog;
using detail::StreamBridge;

struct Pair {
  Pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    ours = FileDescriptor(fds[0]);
    theirs = FileDescriptor(fds[1]);
  }
  [[nodiscard]] std::unique_ptr<FdStream> stream(boost::asio::io_context& io) {
    FileDescriptor copy(::dup(theirs.get()));
    return std::make_unique<FdStream>(io, std::move(theirs), std::move(copy));
  }
  FileDescriptor ours, theirs;
};

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

class Bridge : public ::testing::Test {
 protected:
  void start() {
    std::make_shared<StreamBridge>(far.stream(io), near.stream(io), [this] { ++ends; })->start(io);
  }
  void write(const FileDescriptor& to, std::string_view text) {
    ASSERT_EQ(::send(to.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // What comes until so much is there, or the end.
  std::string read(const FileDescriptor& from, std::size_t size) {
    std::string text;
    while (text.size() < size) {
      io.poll();
      char buffer[4096];
      const ssize_t got = ::recv(from.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got == 0) break;
      if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }

  boost::asio::io_context io;
  Pair far, near;
  int ends = 0;
};

TEST_F(Bridge, carries_bytes_both_ways_until_one_stream_ends) {
  for (Pair* const first : {&far, &near}) {
    far = Pair();
    near = Pair();
    ends = 0;
    start();
    write(far.ours, "from far");
    write(near.ours, "from near");
    EXPECT_EQ(read(near.ours, 8), "from far");
    EXPECT_EQ(read(far.ours, 9), "from near");
    // What was written before the end arrives before it.
    const std::string last(100'000, 'x');
    write(first->ours, last);
    ::shutdown(first->ours.get(), SHUT_WR);
    EXPECT_EQ(read(first == &far ? near.ours : far.ours, last.size() + 1), last);
    io.run();
    EXPECT_EQ(ends, 1);
    io.restart();
  }
}

TEST_F(Bridge, ends_when_a_stream_is_broken_while_it_waits_to_write_there) {
  start();
  const std::string much(100'000, 'x');
  // Until the far side is full: nobody reads there.
  for (int round = 0; round < 20; ++round) {
    (void)::send(near.ours.get(), much.data(), much.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    io.poll();
  }
  EXPECT_EQ(ends, 0);
  far.ours.reset();
  io.run();
  EXPECT_EQ(ends, 1);
}

TEST(SocketBacklog, is_limited_and_left_to_the_system_again) {
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const FileDescriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);

  SocketBacklog backlog(client.get());
  const int before = option(client.get(), SOL_SOCKET, SO_SNDBUF);
  EXPECT_TRUE(backlog.limit(client.get(), Backlog{8192, false}));
  EXPECT_EQ(option(client.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT), 8192);
  EXPECT_EQ(option(client.get(), SOL_SOCKET, SO_SNDBUF), before);
  EXPECT_TRUE(backlog.limit(client.get(), Backlog{4096, true}));
  EXPECT_LT(option(client.get(), SOL_SOCKET, SO_SNDBUF), 64 * 1024);
  EXPECT_TRUE(backlog.limit(client.get(), std::nullopt));
  EXPECT_EQ(option(client.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0);
}

TEST(SocketBacklog, of_a_unix_socket_is_that_of_the_system_again) {
  const Pair pair;
  SocketBacklog backlog(pair.ours.get());
  const int before = option(pair.ours.get(), SOL_SOCKET, SO_SNDBUF);
  EXPECT_TRUE(backlog.limit(pair.ours.get(), Backlog{8192, false}));
  EXPECT_EQ(option(pair.ours.get(), SOL_SOCKET, SO_SNDBUF), 2 * 8192);
  EXPECT_TRUE(backlog.limit(pair.ours.get(), std::nullopt));
  EXPECT_EQ(option(pair.ours.get(), SOL_SOCKET, SO_SNDBUF), before);
}

TEST(SocketBacklog, of_a_pipe_is_nobodys_affair) {
  const detail::Pipe pipe = detail::make_pipe();
  EXPECT_FALSE(SocketBacklog(pipe.write.get()).limit(pipe.write.get(), Backlog{8192, false}));
}

}  // namespace
}  // namespace gangway::testing
