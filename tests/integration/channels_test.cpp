// Channels: order, ends, errors, and channels inside items.
#include <gmock/gmock.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <future>
#include <sstream>
#include <thread>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class Channels : public AgentTest {
 protected:
  static constexpr auto echo = "for item in channel: channel.send(item)";
};
INSTANTIATE_TEST_SUITE_P(, Channels, ::testing::ValuesIn(main_agents()), agent_name);

// G1
TEST_P(Channels, items_arrive_once_and_in_order) {
  Channel channel = start().remote_exec(echo);
  for (int i = 0; i < 20'000; ++i) channel.send(i);
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(take<int>(channel), i);
  EXPECT_THROW((void)channel.receive(0s), TimeoutError);
}

TEST_P(Channels, ping_pong) {
  Channel channel = start().remote_exec(echo);
  for (int i = 0; i < 1'000; ++i) {
    channel.send(i);
    ASSERT_EQ(take<int>(channel), i);
  }
}

TEST_P(Channels, receive_times_out_and_the_channel_stays_usable) {
  Channel channel = start().remote_exec(echo);
  EXPECT_THROW((void)channel.receive(0s), TimeoutError);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW((void)channel.receive(30ms), TimeoutError);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
  EXPECT_THROW(channel.waitclose(10ms), TimeoutError);
  channel.send("still");
  EXPECT_EQ(take<std::string>(channel), "still");
}

TEST_P(Channels, remote_receive_times_out_and_the_channel_stays_usable) {
  Channel channel = start().remote_exec(R"(
        for timeout in (0, 0.02):
            try:
                channel.receive(timeout)
            except channel.TimeoutError as error:
                channel.send(isinstance(error, OSError))
        try:
            channel.waitclose(0.02)
        except channel.TimeoutError:
            channel.send("waitclose")
        try:
            channel.receive(-1)
        except ValueError:
            channel.send("negative")
        channel.send(channel.receive(timeout=20))
      )");
  EXPECT_EQ(take(channel), true);
  EXPECT_EQ(take(channel), true);
  EXPECT_EQ(take(channel), "waitclose");
  EXPECT_EQ(take(channel), "negative");
  channel.send(5);
  EXPECT_EQ(take<int>(channel), 5);
}

TEST_P(Channels, remote_iteration_ends_when_this_side_closes) {
  Gateway gateway = start();
  Channel result = gateway.newchannel();
  Channel channel = gateway.remote_exec("result = channel.receive()\nresult.send(sum(channel))");
  channel.send(result);
  for (int i = 0; i <= 100; ++i) channel.send(i);
  channel.close();
  EXPECT_EQ(take<int>(result), 5050);
}

TEST_P(Channels, end_of_the_task_closes_and_queued_items_can_be_read) {
  Channel channel = start().remote_exec("channel.send(1); channel.send(2)");
  channel.waitclose(patience);
  channel.waitclose(patience);
  EXPECT_TRUE(channel.isclosed());
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_EQ(take<int>(channel), 2);
  for (int i = 0; i < 2; ++i) EXPECT_THROW((void)take(channel), EndOfChannel);
}

TEST_P(Channels, error_is_raised_once_after_the_items) {
  Channel channel = start().remote_exec("channel.send(1)\nraise ValueError('x')");
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_THROW((void)take(channel), RemoteError);
  EXPECT_THROW((void)take(channel), EndOfChannel);
  channel.waitclose(patience);
  EXPECT_THAT(channel.error_text(), EndsWith("ValueError: x"));
}

TEST_P(Channels, waitclose_raises_the_error_once) {
  Channel channel = start().remote_exec("channel.send(1)\nraise ValueError('x')");
  EXPECT_THROW(channel.waitclose(patience), RemoteError);
  channel.waitclose(patience);
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_THROW((void)take(channel), EndOfChannel);
}

TEST_P(Channels, close_with_an_error_reaches_the_far_side) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  Channel channel = gateway.remote_exec(R"(
        report = channel.receive()
        report.send("ready")
        try:
            channel.receive()
        except channel.RemoteError as error:
            report.send((str(error), error.formatted, repr(error), error.args))
        try:
            channel.receive()
        except EOFError:
            report.send("ended")
      )");
  channel.send(report);
  EXPECT_EQ(take(report), "ready");
  channel.close("not wanted: \u00e4");
  EXPECT_EQ(take(report),
            (Tuple{"not wanted: \u00e4", "not wanted: \u00e4", "RemoteError: not wanted: \u00e4", Tuple{}}));
  EXPECT_EQ(take(report), "ended");
}

TEST_P(Channels, close_with_an_error_from_the_far_side) {
  Channel channel = start().remote_exec(R"(
        other = channel.gateway.newchannel()
        channel.send(other)
        other.send(1)
        other.close("that is it")
        other.close()
        channel.send(other.isclosed())
      )");
  Channel other = take<Channel>(channel);
  EXPECT_EQ(take(channel), true);
  EXPECT_EQ(take<int>(other), 1);
  EXPECT_EQ(remote_error(other), "that is it");
  EXPECT_TRUE(other.isclosed());
}

TEST_P(Channels, a_task_cannot_close_its_own_channel) {
  EXPECT_THAT(ask<std::string>(start(), R"(
        try:
            channel.close()
        except OSError as error:
            channel.send(str(error))
      )"),
              HasSubstr("explicit"));
}

TEST_P(Channels, closed_channel_refuses_to_send) {
  Gateway gateway = start();
  Channel channel = gateway.newchannel();
  channel.close();
  channel.close("again");
  try {
    channel.send(1);
    FAIL() << "sent";
  } catch (const ChannelClosed& error) {
    EXPECT_THAT(error.what(), HasSubstr("<Channel id=" + std::to_string(channel.id()) + " closed>"));
  }
  EXPECT_THROW((void)channel.receive(), EndOfChannel);
  EXPECT_THAT(ask<std::string>(gateway, R"(
        other = channel.gateway.newchannel()
        other.close()
        try:
            other.send(1)
        except OSError as error:
            channel.send(str(error))
      )"),
              HasSubstr("closed"));
}

TEST_P(Channels, close_wakes_a_waiting_receiver) {
  Gateway gateway = start();
  Channel channel = gateway.newchannel();
  std::vector<std::thread> threads;
  std::atomic<int> ended = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&ended, channel]() mutable {
      try {
        (void)channel.receive(patience);
      } catch (const EndOfChannel&) {
        ++ended;
      }
    });
  EXPECT_FALSE(eventually([&] { return ended > 0; }, 20ms));
  channel.close();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 4);
}

TEST_P(Channels, dropping_the_last_handle_closes) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  {
    Channel channel = gateway.remote_exec(R"(
          report = channel.receive()
          try:
              channel.waitclose(20)
              report.send("closed")
          except Exception as error:
              report.send(repr(error))
        )");
    channel.send(report);
    const Channel copy = channel;
  }
  EXPECT_EQ(take(report), "closed");
}

TEST_P(Channels, far_side_dropping_its_channel_closes) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import gc
        other = channel.gateway.newchannel()
        channel.send(other)
        channel.receive()
        del other
        gc.collect()
        channel.receive()
      )");
  Channel other = take<Channel>(channel);
  EXPECT_THROW((void)other.receive(20ms), TimeoutError);
  channel.send(nullptr);
  other.waitclose(patience);
  EXPECT_TRUE(other.isclosed());
}

TEST_P(Channels, task_may_drop_its_own_channel_and_goes_on) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  Channel channel = gateway.remote_exec(R"(
        import gc, time
        report = channel.receive()
        del channel
        gc.collect()
        report.send(1)
        report.receive()
      )");
  channel.send(report);
  EXPECT_EQ(take<int>(report), 1);
  EXPECT_FALSE(channel.isclosed());
  report.send(nullptr);
  channel.waitclose(patience);
}

TEST_P(Channels, channels_travel_both_ways_and_come_back_as_the_same_object) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        theirs = channel.receive()
        mine = channel.gateway.newchannel()
        channel.send({"both": [theirs, (mine,)]})
        back = channel.receive()
        channel.send((back is mine, theirs.id % 2, mine.id % 2))
        theirs.send("over theirs")
        mine.send("over mine")
        channel.send(mine.receive())
      )");
  Channel ours = gateway.newchannel();
  channel.send(ours);
  const Value both = take(channel).as_dict().at("both");
  EXPECT_EQ(value_to<Channel>(both.as_list().at(0)), ours);
  Channel far = value_to<Channel>(both.as_list().at(1).as_tuple().at(0));
  EXPECT_NE(far, ours);
  channel.send(far);
  EXPECT_EQ(take(channel), (Tuple{true, 1, 0}));
  EXPECT_EQ(take(ours), "over theirs");
  EXPECT_EQ(take(far), "over mine");
  far.send(12);
  EXPECT_EQ(take<int>(channel), 12);
}

TEST_P(Channels, a_channel_of_another_gateway_is_refused) {
  Gateway gateway = start();
  Gateway other = start();
  Channel channel = gateway.remote_exec(echo);
  const Channel foreign = other.newchannel();
  EXPECT_THROW(channel.send(foreign), Error);
  EXPECT_THROW(channel.send(List{1, value_from(foreign)}), Error);
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
}

TEST_P(Channels, several_threads_send_on_one_channel) {
  Channel channel = start().remote_exec("channel.send([channel.receive() for i in range(4000)])");
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who)
    threads.emplace_back([channel, who]() mutable {
      for (int i = 0; i < 1000; ++i) channel.send(std::pair(who, i));
    });
  for (std::thread& thread : threads) thread.join();
  std::vector<int> next(4);
  for (const auto& [who, i] : take<std::vector<std::pair<std::size_t, int>>>(channel)) ASSERT_EQ(i, next.at(who)++);
  EXPECT_EQ(next, std::vector<int>(4, 1000));
}

TEST_P(Channels, several_threads_receive_each_item_once) {
  Channel channel = start().remote_exec("for i in range(4000): channel.send(i)");
  std::mutex mutex;
  std::vector<int> all;
  std::vector<std::thread> threads;
  for (int who = 0; who < 4; ++who)
    threads.emplace_back([&, channel]() mutable {
      try {
        for (;;) {
          const int item = take<int>(channel);
          const std::lock_guard lock(mutex);
          all.push_back(item);
        }
      } catch (const EndOfChannel&) {
      }
    });
  for (std::thread& thread : threads) thread.join();
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), 4000u);
  for (int i = 0; i < 4000; ++i) ASSERT_EQ(all[static_cast<std::size_t>(i)], i);
}

TEST_P(Channels, several_remote_threads_use_one_channel) {
  Channel channel = start().remote_exec(R"(
        import threading
        def work(who):
            for i in range(500):
                channel.send((who, i))
                channel.receive()
        threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
      )");
  std::vector<int> next(4);
  for (int n = 0; n < 2000; ++n) {
    const auto [who, i] = take<std::pair<std::size_t, int>>(channel);
    ASSERT_EQ(i, next.at(who)++);
    channel.send(nullptr);
  }
  channel.waitclose(patience);
}

TEST_P(Channels, several_remote_threads_receive_each_item_once) {
  Channel channel = start().remote_exec(R"(
        import threading
        got = []
        def work():
            while True:
                item = channel.receive()
                if item is None:
                    return
                got.append(item)
        threads = [threading.Thread(target=work) for i in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        channel.send(sorted(got))
      )");
  std::vector<int> all;
  for (int i = 0; i < 2000; ++i) {
    channel.send(i);
    all.push_back(i);
  }
  for (int i = 0; i < 4; ++i) channel.send(nullptr);
  EXPECT_EQ(take<std::vector<int>>(channel), all);
}

TEST_P(Channels, many_channels_of_one_task) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        for other in channel:
            other.send(other.receive() * 2)
            other.close()
      )");
  std::vector<Channel> others;
  for (int i = 0; i < 300; ++i) {
    others.push_back(gateway.newchannel());
    others.back().send(i);
    channel.send(others.back());
  }
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(take<int>(others[static_cast<std::size_t>(i)]), 2 * i);
    others[static_cast<std::size_t>(i)].waitclose(patience);
  }
}

TEST_P(Channels, ids_are_odd_here_and_never_used_twice) {
  Gateway gateway = start();
  const Channel first = gateway.newchannel();
  const std::uint32_t id = first.id();
  EXPECT_EQ(id % 2, 1u);
  EXPECT_EQ(gateway.newchannel().id(), id + 2);
  EXPECT_EQ(gateway.newchannel().id(), id + 4);
}

TEST_P(Channels, print_themselves) {
  Gateway gateway = start();
  Channel channel = gateway.newchannel();
  const auto text = [&] {
    std::ostringstream out;
    out << channel;
    return out.str();
  };
  const std::string id = std::to_string(channel.id());
  EXPECT_EQ(text(), "<Channel id=" + id + " open>");
  channel.close();
  EXPECT_EQ(text(), "<Channel id=" + id + " closed>");
  EXPECT_EQ(ask<std::string>(gateway, "c = channel.gateway.newchannel(); channel.send(repr(c)); c.close()"),
            "<Channel id=2 open>");
}

TEST_P(Channels, item_of_another_type_is_reported) {
  Channel channel = start().remote_exec("channel.send('text'); channel.send(1)");
  EXPECT_THROW((void)take<int>(channel), Error);
  EXPECT_EQ(take<int>(channel), 1);
}

TEST_P(Channels, send_times_out_when_the_window_is_full) {
  Gateway gateway = start("window=64K");
  Channel channel = gateway.remote_exec("channel.receive()\nfor item in channel: channel.send(len(item))");
  // None that the task takes at once, then what fills the window.
  channel.send(nullptr);
  Channel quiet = gateway.newchannel();
  quiet.send(zeros(60'000));
  try {
    quiet.send(zeros(60'000), 50ms);
    FAIL() << "there is no room for it";
  } catch (const TimeoutError&) {
  }
  channel.send(zeros(10));
  EXPECT_EQ(take<int>(channel), 10);
}

TEST_P(Channels, async_operations_complete_with_values_and_errors) {
  Channel channel = start().remote_exec("channel.send(channel.receive() + 1)\nraise ValueError('async')");
  auto received = channel.async_receive(boost::asio::use_future);
  channel.async_send(41, boost::asio::use_future).get();
  EXPECT_EQ(received.get(), 42);
  try {
    channel.async_waitclose(boost::asio::use_future).get();
    FAIL() << "no error";
  } catch (const boost::system::system_error& error) {
    EXPECT_EQ(error.code(), errc::remote_error);
  }
  EXPECT_THAT(channel.error_text(), EndsWith("ValueError: async"));
}

// I3: in the phase in which it waits; the other phases are the machine's (unit tests).
TEST_P(Channels, I3_a_cancelled_receive_takes_no_item) {
  Channel channel = start().remote_exec(echo);
  boost::asio::cancellation_signal cancel;
  std::promise<boost::system::error_code> done;
  channel.async_receive(boost::asio::bind_cancellation_slot(
      cancel.slot(), [&](boost::system::error_code error, const Value&) { done.set_value(error); }));
  cancel.emit(boost::asio::cancellation_type::terminal);
  EXPECT_EQ(done.get_future().get(), errc::cancelled);
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
}

}  // namespace
}  // namespace gangway::test
