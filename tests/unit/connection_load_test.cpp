// Connections under load: many channels, many threads, streams that are full. Over pipes and
// sockets between two connections of this process. Rows E1, E5, I4.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>
#include <future>

#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, pages = 0;
  file >> total >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// Row E1. The figures are printed, not asserted.
TEST_F(ConnectedTest, ten_thousand_channels_live_at_once) {
  connect();
  const std::size_t before = resident();
  std::vector<Channel> channels;
  channels.reserve(10'000);
  for (int i = 0; i < 10'000; ++i) channels.push_back(open(controller));
  controller->ping(in(patience));
  EXPECT_EQ(agent->live_channels(), 10'000U);
  const std::size_t after = resident();
  std::printf("10,000 channels, both ends: %.1f MB\n", static_cast<double>(after - before) / 1e6);
  channel_of(agent, channels[9'999].id()).send(5);  // closes it again
  EXPECT_EQ(channels[9'999].receive<int>(patience), 5);
  const auto start = std::chrono::steady_clock::now();
  channels.clear();
  controller->ping(in(patience));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("closed in %.3f s\n", took.count());
  EXPECT_TRUE(test::eventually([&] { return agent->live_channels() == 0; }));
  EXPECT_EQ(controller->live_channels(), 0U);
}

// Row E5, scaled: 64 MiB each way.
TEST_F(ConnectedTest, both_sides_send_and_nobody_receives) {
  for (const Carrier carrier : {Carrier::pipes, Carrier::socket}) {
    connect(limits::window, carrier);
    auto [here, there] = channel();
    const Bytes megabyte = pattern(1 << 20);
    std::atomic<int> sent{0};
    const auto flood = [&](Channel channel) {
      return later([&, channel]() mutable {
        return failure_of([&] {
          for (int i = 0; i < 64; ++i, ++sent) channel.send_bytes(megabyte.span());
        });
      });
    };
    auto from_here = flood(here), from_there = flood(there);
    ASSERT_TRUE(test::eventually([&] { return sent == 30; }, patience));  // 15 each, and a header: the window is full
    EXPECT_FALSE(is_ready(from_here, 20ms) || is_ready(from_there));
    controller->ping(in(patience));
    agent->ping(in(patience));
    (void)controller->status(in(patience));
    auto [second, second_there] = channel();
    second.send("control and other channels flow");
    EXPECT_EQ(second_there.receive<std::string>(patience), "control and other channels flow");
    EXPECT_EQ(here.receive<Bytes>(patience), megabyte);
    controller->send_terminate();
    EXPECT_TRUE(test::eventually([&] { return agent.owner->terminates == 1; }));
    controller->finish({errc::terminated, "enough", {}});
    agent->finish({errc::terminated, "enough", {}});
    EXPECT_EQ(from_here.get().text, "enough");
    const auto there_ended = from_there.get().code;  // it may have seen the end of the stream first
    EXPECT_TRUE(there_ended == errc::terminated || there_ended == errc::connection_lost) << there_ended.message();
  }
}

// A socket of which nothing is known yet.
TEST_F(ConnectedTest, items_that_are_larger_than_what_is_written_ahead_need_no_waiting) {
  connect();
  auto [here, there] = channel();
  const Bytes item = pattern(20'000);
  EXPECT_TRUE(here.try_send(item));
  EXPECT_EQ(there.receive<Bytes>(patience), item);
  std::promise<void> sent;
  boost::asio::post(runtime->io(), [&, &sender = here] {
    EXPECT_NO_THROW(sender.send(item));
    sent.set_value();
  });
  runtime->keep_going();
  sent.get_future().wait();
  EXPECT_EQ(there.receive<Bytes>(patience), item);
}

// What a program has sent arrives while it does something else.
TEST_F(ConnectedTest, a_flood_that_filled_the_stream_goes_out_while_nobody_waits) {
  connect(0, Carrier::pipes);
  auto [here, there] = channel();
  // Until the pipe is full and a queue stands before it; then nobody calls anything.
  const Bytes item = pattern(1000);
  int sent = 0;
  const auto state = state_of(here);
  std::promise<void> blocked, go_on;
  boost::asio::post(runtime->io(), [&] {  // the agent does not read meanwhile
    blocked.set_value();
    go_on.get_future().wait();
  });
  runtime->keep_going();
  blocked.get_future().wait();
  while (controller->try_send(state, {ItemKind::bytes, item.span()})) ++sent;
  EXPECT_GT(sent, 100);
  std::this_thread::sleep_for(10ms);  // so that the stand-by has looked, and found it full
  go_on.set_value();
  const auto there_state = state_of(there);
  int received = 0;
  EXPECT_TRUE(test::eventually(
      [&] {
        while (agent->try_receive(*there_state)) ++received;
        return received == sent;
      },
      patience))
      << received << " of " << sent;
}

// Of a peer that does not read, in frames all of it or in part.
TEST_F(ConnectedTest, close_ends_a_send_that_is_half_out_at_once) {
  for (const std::size_t size : {100'000U, 10'000'000U}) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const FileDescriptor peer(ends[1]);
    const int least = 0;
    ASSERT_EQ(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    auto stream = std::make_unique<FdStream>(runtime->io(), FileDescriptor(ends[0]), FileDescriptor(::dup(ends[0])));
    controller = End(runtime, std::move(stream), {});
    controller.start();
    const Bytes hello = frame(ControlKind::hello, 0, detail::encode_pickle(Dict{}));
    ASSERT_EQ(::write(peer.get(), hello.data(), hello.size()), static_cast<ssize_t>(hello.size()));
    ASSERT_TRUE(controller->wait_ready(in(patience)));
    Channel channel = open(controller);
    const Bytes large = pattern(size);
    auto sending = later([&, channel]() mutable { return failure_of([&] { channel.send_bytes(large.span()); }); });
    EXPECT_FALSE(is_ready(sending, 50ms));
    channel.close();
    ASSERT_TRUE(is_ready(sending, patience));
    EXPECT_EQ(sending.get().code, errc::channel_closed);
    controller->finish({errc::terminated, "", {}});
  }
}

// Row I4.
TEST_F(ConnectedTest, eight_threads_use_one_channel) {
  connect(16 * 1024);
  auto [here, there] = channel();
  constexpr int each = 500;
  std::atomic<std::int64_t> sum{0};
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 4; ++i) {
    threads.push_back(later([&, channel = here, i]() mutable {
      for (int n = 0; n < each; ++n) {
        if (n % 50 == 0)
          channel.send_bytes(pattern(20'000).span());
        else if (i % 2 == 0)
          channel.send(n);
        else
          channel.send(n, 1h);
      }
    }));
    threads.push_back(later([&, channel = there]() mutable {
      for (int n = 0; n < each; ++n) {
        const Value item = channel.receive(1h);
        sum += item.is_int() ? item.as_int() : -static_cast<std::int64_t>(item.as_bytes().size());
        (void)channel.isclosed();
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  constexpr std::int64_t of_each = each * (each - 1) / 2 - 50 * (9 * 10 / 2) - 10 * 20'000;
  EXPECT_EQ(sum, 4 * of_each);
}

TEST_F(ConnectedTest, opening_and_closing_from_many_threads) {
  connect();
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 8; ++i)
    threads.push_back(later([&] {
      for (int n = 0; n < 100; ++n) {
        Channel here = open(controller);
        controller->ping(in(patience));
        Channel there = channel_of(agent, here.id());
        here.send(n);
        EXPECT_EQ(there.receive<int>(patience), n);
        if (n % 3 == 0) there.close("done");
        if (n % 3 == 1) here.close();
      }
    }));
  for (auto& thread : threads) thread.get();
  controller->ping(in(patience));
  agent->ping(in(patience));
  EXPECT_EQ(controller->live_channels(), 0U);
  EXPECT_EQ(agent->live_channels(), 0U);
}

}  // namespace
}  // namespace gangway::testing
