// What may wait behind write(): of sockets, and of the streams that stand on others.
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>

#include "channels/write_pace.hpp"
#include "core/process.hpp"
#include "gateways/channel_stream.hpp"
#include "gateways/deferred_stream.hpp"
#include "gateways/socket_backlog.hpp"
#include "gateways/tls_stream.hpp"
#include "tests/support/connected.hpp"
#include "tests/support/socket_pair.hpp"

namespace gangway::testing {
namespace {

using detail::Backlog;
using detail::ByteStream;
using detail::ChannelStream;
using detail::DeferredStream;
using detail::SocketBacklog;
using detail::TlsStream;
using detail::WritePace;

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

// What it takes of so much before it says would_block.
std::size_t taken(ByteStream& stream, std::size_t size) {
  const std::string text(16 * 1024, 'x');
  std::size_t sum = 0;
  while (sum < size) {
    const iovec from{const_cast<char*>(text.data()), std::min(text.size(), size - sum)};
    boost::system::error_code error;
    sum += stream.write({&from, 1}, error);
    if (error) {
      EXPECT_TRUE(detail::would_block(error)) << error.message();
      break;
    }
  }
  return sum;
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
  const SocketPair pair;
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

/// Remembers what it was told, and how much went out between two waits.
struct Seen {
  std::optional<Backlog> backlog = Backlog{1, false};
  std::size_t since_wait = 0;
  std::size_t most = 0;
  bool may_be_slow = true;
};

class SeenStream final : public ByteStream {
 public:
  SeenStream(std::unique_ptr<ByteStream> inner, Seen& seen) : inner_(std::move(inner)), seen_(seen) {}

  std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override {
    return inner_->read(buffers, error);
  }
  std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override {
    const std::size_t size = inner_->write(buffers, error);
    seen_.since_wait += size;
    seen_.most = std::max(seen_.most, seen_.since_wait);
    return size;
  }
  void wait_readable(ReadyHandler handler) override { inner_->wait_readable(std::move(handler)); }
  void wait_writable(ReadyHandler handler) override {
    seen_.since_wait = 0;
    inner_->wait_writable(std::move(handler));
  }
  bool limit_backlog(const std::optional<Backlog>& most) noexcept override {
    seen_.backlog = most;
    return seen_.may_be_slow;
  }
  void close() noexcept override { inner_->close(); }

 private:
  const std::unique_ptr<ByteStream> inner_;
  Seen& seen_;
};

TEST(DeferredStream, hands_its_bound_to_the_stream_that_comes) {
  boost::asio::io_context io;
  SocketPair pair;
  Seen seen;
  const auto door = std::make_shared<DeferredStream::Door>(io);
  DeferredStream stream(door, {});
  EXPECT_TRUE(stream.limit_backlog(Backlog{5000, false}));  // it may come to be one that can
  door->open(std::make_unique<SeenStream>(stream_of(io, std::move(pair.theirs)), seen));
  ASSERT_TRUE(seen.backlog);
  EXPECT_EQ(seen.backlog->bytes, 5000u);
  EXPECT_TRUE(stream.limit_backlog({}));
  EXPECT_FALSE(seen.backlog);
  seen.may_be_slow = false;
  EXPECT_FALSE(stream.limit_backlog(Backlog{5000, false}));
}

TEST(TlsStream, holds_no_more_than_a_record_when_its_bound_is_small) {
  boost::asio::io_context io;
  SocketPair pair;
  const detail::Secret secret("a secret of twenty-four characters");
  TlsStream client(io, stream_of(io, std::move(pair.ours)), TlsStream::Role::client, secret);
  TlsStream server(io, stream_of(io, std::move(pair.theirs)), TlsStream::Role::server, secret);
  int shaken = 0;
  for (TlsStream* const stream : {&client, &server})
    stream->handshake(16 * 1024, [&](const std::string& problem) {
      EXPECT_EQ(problem, "");
      ++shaken;
    });
  while (shaken < 2) io.run_one();

  EXPECT_TRUE(client.limit_backlog(Backlog{WritePace::least, true}));
  constexpr std::size_t much = 8 * 1024 * 1024;
  EXPECT_LE(taken(client, much), 64u * 1024);
  EXPECT_TRUE(client.limit_backlog({}));
  EXPECT_GT(taken(client, much), 64u * 1024);
}

class Paced : public ConnectedTest {};

TEST_F(Paced, channel_stream_hands_no_more_than_its_bound_to_the_connection_below) {
  connect(4096);
  const auto [here, there] = channel();
  const auto object = value_from(here).as_channel().object;
  ChannelStream stream(std::static_pointer_cast<detail::ChannelHandle>(object));
  EXPECT_TRUE(stream.limit_backlog(Backlog{10'000, false}));
  // Nobody receives: after the credit there is only what waits here.
  const std::size_t first = taken(stream, 1'000'000);
  EXPECT_GE(first, 10'000u);
  EXPECT_LE(first, 10'000u + 3 * 4096);
  EXPECT_TRUE(stream.limit_backlog({}));
  EXPECT_GT(taken(stream, 1'000'000), 100'000u);
}

// The first 8 KiB show whether the stream is slow; a pipe never is.
TEST_F(Paced, connection_waits_for_a_stream_that_may_be_slow_after_what_it_takes_at_once) {
  for (const bool may_be_slow : {true, false}) {
    Seen seen;
    seen.may_be_slow = may_be_slow;
    {
      auto script = std::make_shared<Script>(runtime->io());
      controller = End(runtime, std::make_unique<SeenStream>(std::make_unique<ScriptStream>(script), seen), {});
      controller.start();
      ASSERT_TRUE(seen.backlog);
      EXPECT_EQ(seen.backlog->bytes, WritePace::first);
      script->gives(frame(ControlKind::hello, 0, detail::encode_pickle(Dict{})));
      Channel channel = open(controller);
      constexpr std::size_t items = 30;
      for (std::size_t i = 0; i < items; ++i) channel.send_bytes(pattern(1000).span());
      EXPECT_TRUE(test::eventually([&] { return script->written().size() > items * 1000; }, 20s));
      controller->finish({errc::terminated, "the test is over", {}});
      controller = {};
    }
    EXPECT_EQ(seen.most < 2 * WritePace::first, may_be_slow) << seen.most;
  }
}

}  // namespace
}  // namespace gangway::testing
