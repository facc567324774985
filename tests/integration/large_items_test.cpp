// Items beyond frames and windows, and what goes on beside them.
#include <gmock/gmock.h>

#include <thread>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

class LargeItems : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, LargeItems, ::testing::ValuesIn(main_agents()), agent_name);

Bytes pattern(std::size_t size) {
  Bytes bytes = zeros(size);
  for (std::size_t i = 0; i < size; i += 4093) bytes[i] = std::byte(i / 4093 & 255);
  return bytes;
}

TEST_P(LargeItems, hundred_mebibytes_both_ways) {
  Channel channel = start().remote_exec("channel.send(channel.receive())");
  const Bytes data = pattern(100 << 20);
  channel.send(data);
  EXPECT_TRUE(take(channel).as_bytes() == data);
}

TEST_P(LargeItems, text_and_lists_beyond_the_window) {
  Channel channel = start("window=64K").remote_exec("for item in channel: channel.send(item)");
  std::string text;
  for (int i = 0; i < 500'000; ++i) text += "\u00e4b\u20ac ";
  channel.send(text);
  EXPECT_TRUE(take<std::string>(channel) == text);
  List list;
  for (int i = 0; i < 300'000; ++i) list.push_back(i);
  channel.send(Value(list));
  EXPECT_TRUE(take(channel) == Value(list));
}

TEST_P(LargeItems, smallest_window_passes_everything) {
  Channel channel = start("window=1024").remote_exec("for item in channel: channel.send(item)");
  for (const std::size_t size : {0u, 1u, 991u, 992u, 993u, 1023u, 1024u, 1025u, 4096u, 100'000u}) {
    const Bytes data = pattern(size);
    channel.send(data);
    ASSERT_TRUE(take(channel).as_bytes() == data) << size;
  }
  std::thread sender([channel]() mutable {
    for (int i = 0; i < 2'000; ++i) channel.send(std::to_string(i));
  });
  for (int i = 0; i < 2'000; ++i) EXPECT_EQ(take<std::string>(channel), std::to_string(i));
  sender.join();
}

TEST_P(LargeItems, no_window_lets_everything_pass) {
  Channel channel =
      start("window=0").remote_exec("channel.receive()\nfor i in range(40): channel.send(len(channel.receive()))");
  const Bytes data = pattern(1 << 20);
  for (int i = 0; i < 40; ++i) channel.send(data);
  channel.close("not yet begun");
  Channel other = start("window=0").remote_exec("for i in range(40): channel.send(len(channel.receive()))");
  for (int i = 0; i < 40; ++i) other.send(data);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(take<int>(other), 1 << 20);
}

TEST_P(LargeItems, mixed_sizes_keep_their_order) {
  Channel channel = start("window=256K").remote_exec("for item in channel: channel.send(len(item))");
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < 400; ++i) sizes.push_back(i % 7 == 0 ? i * 3'001 : i);
  std::thread sender([&, channel]() mutable {
    for (const std::size_t size : sizes) channel.send(zeros(size));
  });
  for (const std::size_t size : sizes) EXPECT_EQ(take<std::size_t>(channel), size);
  sender.join();
}

TEST_P(LargeItems, pings_status_and_other_channels_pass_a_large_item) {
  Gateway gateway = start();
  Channel small = gateway.remote_exec("for item in channel: channel.send(item)");
  Channel large = gateway.remote_exec("data = channel.receive()\nchannel.send(len(data))\nchannel.send(data)");
  const Bytes data = pattern(256 << 20);
  std::atomic<bool> done = false;
  std::thread transfer([&]() {
    large.send(data);
    EXPECT_EQ(take<std::size_t>(large), data.size());
    EXPECT_TRUE(take(large).as_bytes() == data);
    done = true;
  });
  int rounds = 0;
  while (!done) {
    (void)gateway.ping(patience);
    EXPECT_EQ(gateway.remote_status(patience).execmodel, "thread");
    small.send(rounds);
    EXPECT_EQ(take<int>(small), rounds);
    ++rounds;
  }
  transfer.join();
  EXPECT_GT(rounds, 3);
}

TEST_P(LargeItems, several_large_items_at_once) {
  Gateway gateway = start();
  std::vector<std::thread> threads;
  for (std::size_t who = 0; who < 4; ++who)
    threads.emplace_back([gateway, who]() mutable {
      Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
      const Bytes data = pattern(20'000'000 + who);
      channel.send(data);
      EXPECT_TRUE(take(channel).as_bytes() == data);
    });
  for (std::thread& thread : threads) thread.join();
}

// A sender and a reader that both only write must not lock each other up.
TEST_P(LargeItems, both_sides_may_send_before_they_receive) {
  Channel channel =
      start("window=0").remote_exec("channel.send(b'x' * 30000000)\nchannel.send(len(channel.receive()))");
  channel.send(pattern(30'000'000));
  EXPECT_EQ(take(channel).as_bytes().size(), 30'000'000u);
  EXPECT_EQ(take<int>(channel), 30'000'000);
}

TEST_P(LargeItems, an_item_cut_off_by_a_close_is_gone) {
  Gateway gateway = start("window=64K");
  Channel channel = gateway.remote_exec(R"(
        other = channel.gateway.newchannel()
        channel.send(other)
        import threading
        def work():
            try:
                other.send(b"x" * 60000)  # as long as nobody takes this, the window is full
                channel.send("full")
                other.send(b"x" * 10000000)
            except OSError:
                channel.send("closed")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
      )");
  Channel other = take<Channel>(channel);
  EXPECT_EQ(take(channel), "full");
  EXPECT_THROW((void)channel.receive(50ms), TimeoutError);
  other.close();
  EXPECT_EQ(take(channel), "closed");
  EXPECT_EQ(take(other).as_bytes().size(), 60'000u);
  EXPECT_THROW((void)other.receive(patience), EndOfChannel);
}

}  // namespace
}  // namespace gangway::test
