// Bytes between two streams.
#include "gateways/stream_bridge.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <string>

#include "tests/support/socket_pair.hpp"

namespace gangway::testing {
namespace {

using detail::FileDescriptor;
using detail::StreamBridge;

class Bridge : public ::testing::Test {
 protected:
  void start() {
    std::make_shared<StreamBridge>(stream_of(io, std::move(far.theirs)), stream_of(io, std::move(near.theirs)), [this] {
      ++ends;
    })->start(io);
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
  SocketPair far, near;
  int ends = 0;
};

TEST_F(Bridge, carries_bytes_both_ways_until_one_stream_ends) {
  for (SocketPair* const first : {&far, &near}) {
    far = SocketPair();
    near = SocketPair();
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

}  // namespace
}  // namespace gangway::testing
