// The guarantees G1 to G7 (README.md of the repository, "What is guaranteed"), as programs
// that would notice, each with traffic beside what is looked at.
#include <boost/asio/use_future.hpp>

#include <future>
#include <memory>
#include <thread>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

constexpr auto echo = "for item in channel: channel.send(item)";

/// Items that go back and forth on some channels of a gateway, until this is destroyed or
/// the gateway has ended.
class Traffic {
 public:
  explicit Traffic(Gateway gateway, int channels = 2) {
    for (int i = 0; i < channels; ++i)
      threads_.emplace_back([this, channel = gateway.remote_exec(echo)]() mutable {
        try {
          for (std::size_t size = 1; !stop_; size = size * 3 % 99'991) {
            channel.send(zeros(size), patience);
            EXPECT_EQ(take(channel).as_bytes().size(), size);
          }
        } catch (const Error&) {
        }
      });
  }
  ~Traffic() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

 private:
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

class Guarantees : public FaultTest {
  CrashesAreCrashes crashes_are_crashes_;
};
INSTANTIATE_TEST_SUITE_P(, Guarantees, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Guarantees, G1_items_arrive_in_order_exactly_once_and_none_after_the_end) {
  Gateway gateway = start();
  const Traffic traffic(gateway);
  Channel channel = gateway.remote_exec("for i in range(10000): channel.send(i)\nraise ValueError('the end')");
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(take<int>(channel), i);
  EXPECT_THROW((void)take(channel), RemoteError);
  EXPECT_THROW((void)take(channel), EndOfChannel);
}

TEST_P(Guarantees, G1_every_sender_of_a_channel_keeps_its_order_in_both_directions) {
  constexpr int senders = 4;
  constexpr int items = 500;
  Gateway gateway = start("window=64K");
  const Traffic traffic(gateway);
  Channel channel = gateway.remote_exec(R"(
        counts = {}
        for sender, number, filling in channel:
            if number != counts.get(sender, 0): raise ValueError((sender, number, counts))
            counts[sender] = number + 1
            channel.send((sender, number, filling))
            if counts == {0: 500, 1: 500, 2: 500, 3: 500}: break
      )");
  std::vector<std::future<void>> sending;
  for (int sender = 0; sender < senders; ++sender)
    sending.push_back(
        std::async(std::launch::async,
                   [sender, channel]() mutable {  // some in one frame, some in several, some larger than the window
                     for (int number = 0; number < items; ++number)
                       channel.send(Tuple{sender, number, zeros(number % 50 == 0 ? 200'000 : 10)}, patience);
                   }));
  std::vector<int> next(senders);
  for (int i = 0; i < senders * items; ++i) {
    const Value item = take(channel);
    ASSERT_EQ(item.as_tuple()[1], next[static_cast<std::size_t>(item.as_tuple()[0].as_int())]++);
  }
  EXPECT_THROW((void)take(channel), EndOfChannel);
  for (auto& sent : sending) sent.get();
}

TEST_P(Guarantees, G1_what_arrives_from_an_agent_that_is_killed_is_a_prefix) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("i = 0\nwhile True:\n  channel.send(i)\n  i += 1");
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(take<int>(channel), i);
  ::kill(worker_pid(gateway), SIGKILL);
  try {
    for (int i = 1'000;; ++i) ASSERT_EQ(take<int>(channel), i);
  } catch (const ConnectionLost&) {
  }
  EXPECT_THROW((void)take(channel), ConnectionLost);
}

TEST_P(Guarantees, G2_whoever_waits_is_told_when_the_agent_is_gone) {
  Gateway gateway = start("window=64K");
  Channel receiving = gateway.newchannel();
  Channel sending = gateway.newchannel();
  Channel closing = gateway.newchannel();
  const Traffic traffic(gateway);
  std::atomic<int> told = 0;
  const auto waiter = [&](auto blocking) {
    return std::thread([&told, blocking]() mutable {
      try {
        blocking();
      } catch (const ConnectionLost& error) {
        if (error.death().signal == SIGKILL) ++told;
      }
    });
  };
  std::vector<std::thread> threads;
  threads.push_back(waiter([=]() mutable { (void)receiving.receive(); }));
  threads.push_back(waiter([=]() mutable {
    for (;;) sending.send(zeros(50'000));
  }));
  threads.push_back(waiter([=]() mutable { closing.waitclose(); }));
  // Stopped first, so that the two questions are still open when it dies.
  (void)gateway.ping(patience);
  ::kill(worker_pid(gateway), SIGSTOP);
  threads.push_back(waiter([=]() mutable { (void)gateway.remote_status(); }));
  threads.push_back(waiter([=]() mutable { (void)gateway.ping(); }));
  auto async_receiving = receiving.async_receive(boost::asio::use_future);
  auto async_closing = closing.async_waitclose(boost::asio::use_future);
  const auto begin = Clock::now();
  ::kill(worker_pid(gateway), SIGKILL);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(told, 5);
  for (const auto status : {async_receiving.wait_for(patience), async_closing.wait_for(patience)})
    ASSERT_EQ(status, std::future_status::ready);
  EXPECT_THROW((void)async_receiving.get(), boost::system::system_error);
  EXPECT_THROW(async_closing.get(), boost::system::system_error);
  EXPECT_LT(Clock::now() - begin, 5s);
}

TEST_P(Guarantees, G2_an_agent_that_is_silent_is_reported_and_kept_and_deadlines_fire) {
  Gateway gateway = start("window=64K//keepalive=200ms");
  Channel channel = gateway.remote_exec(echo);
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
  ::kill(worker_pid(gateway), SIGSTOP);
  EXPECT_THROW((void)channel.receive(50ms), TimeoutError);
  EXPECT_THROW(channel.waitclose(50ms), TimeoutError);
  EXPECT_THROW((void)gateway.ping(50ms), TimeoutError);
  EXPECT_THROW((void)gateway.remote_status(50ms), TimeoutError);
  int sent = 0;
  EXPECT_THROW(for (;; ++sent) channel.send(zeros(10'000), 50ms), TimeoutError);
  EXPECT_TRUE(eventually([&] { return gateway.unresponsive().has_value(); }));
  EXPECT_TRUE(gateway.hasreceiver());
  ::kill(worker_pid(gateway), SIGCONT);
  for (int i = 0; i < sent; ++i) EXPECT_EQ(take(channel).as_bytes().size(), 10'000u);
  EXPECT_TRUE(eventually([&] { return !gateway.unresponsive(); }));
}

TEST_P(Guarantees, G3_what_nobody_receives_stays_on_the_far_side) {
  Gateway gateway = start("window=1M");
  std::vector<Channel> channels;
  const std::size_t before = resident();
  for (int i = 0; i < 4; ++i)
    channels.push_back(gateway.remote_exec("for i in range(500): channel.send(b'x' * 100000)\n"));
  for (int i = 0; i < 200; ++i) (void)gateway.ping(patience);
  if (!sanitized) {
    EXPECT_LT(resident() - before, 4 * (2u << 20) + (4u << 20)) << "200 MB were sent";
  }
  for (Channel& channel : channels)
    for (int i = 0; i < 500; ++i) ASSERT_EQ(take(channel).as_bytes().size(), 100'000u);
}

TEST_P(Guarantees, G3_of_items_larger_than_the_window_one_is_here) {
  constexpr std::size_t size = 16 << 20;
  Gateway gateway = start("window=64K");
  const std::size_t before = resident();
  Channel channel = gateway.remote_exec("for i in range(10): channel.send(bytes(16 << 20))");
  const Traffic traffic(gateway);
  std::size_t most = 0;
  for (int i = 0; i < 2'000; ++i) {
    (void)gateway.ping(patience);
    most = std::max(most, resident());
  }
  if (!sanitized) {
    EXPECT_LT(most, before + 2 * size + (4u << 20)) << "160 MiB are to come; twice: its buffer grows as it arrives";
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take(channel).as_bytes().size(), size);
}

TEST_P(Guarantees, G4_terminate_returns_in_time_and_nobody_is_left) {
  std::vector<Gateway> gateways = group().makegateways(std::vector<std::string>(4, spec()));
  ::kill(worker_pid(gateways[1]), SIGSTOP);
  const Channel holding = gateways[2].remote_exec("import ctypes; ctypes.PyDLL(None).sleep(100)");
  Channel ignoring = gateways[3].remote_exec(
      "import signal, time\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\n"
      "channel.send(1)\nwhile 1: time.sleep(1)");
  EXPECT_EQ(take<int>(ignoring), 1);
  const Channel flooding = gateways[0].remote_exec("while 1: channel.send(b'x' * 100000)");
  Channel starting = gateways[0].remote_exec(
      "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nchannel.send(1)\nchannel.receive()");
  EXPECT_EQ(take<int>(starting), 1);
  std::vector<std::unique_ptr<Traffic>> traffic;
  for (const int at : {0, 2, 3}) traffic.push_back(std::make_unique<Traffic>(gateways[static_cast<std::size_t>(at)]));
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(500ms).survivors, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 500ms + 2s);
  for (const Gateway& gateway : gateways) EXPECT_FALSE(is_alive(worker_pid(gateway)));
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 1s));  // what tasks have started is killed, and may still be dying
}

// Whatever the members are busy with: in time, and nothing is left.
TEST_P(Guarantees, G4_terminate_whatever_they_do) {
  constexpr std::string_view ignore = "import signal\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"idle", "channel.send(1)\nchannel.receive()"},
      {"looping", "channel.send(1)\nwhile True: pass"},
      {"stopped", "import os\nchannel.send(1)\nos.kill(os.getpid(), 19)"},
      {"holding the GIL", "import ctypes\nchannel.send(1)\nctypes.PyDLL(None).sleep(100)"},
      {"ignoring signals", std::string(ignore) + "channel.send(1)\nwhile True: pass"},
      {"flooding", "while True: channel.send(b'x' * 100000)"},
      {"subprocesses",
       "import subprocess\nfor i in range(5): subprocess.Popen(['sleep', '1000'])\n"
       "channel.send(1)\nchannel.receive()"},
      {"subprocesses that ignore",
       "import subprocess\nsubprocess.Popen(['sh', '-c', 'trap \"\" 1 2 15; sleep 1000'])\n"
       "channel.send(1)\nwhile True: pass"},
  };
  for (const auto& [name, source] : cases) {
    SCOPED_TRACE(name);
    Channel channel = start("window=1M").remote_exec(source);
    (void)take(channel);
    const auto begin = Clock::now();
    EXPECT_THAT(group().terminate(300ms).survivors, IsEmpty());
    EXPECT_LT(Clock::now() - begin, 300ms + 2s);
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 1s)) << "killed, and perhaps not yet buried";
  }
}

// The same when the controller dies: fault_controller runs each of them.
TEST_P(Guarantees, G5_a_killed_controller_leaves_nothing_whatever_they_do) {
  for (const std::string mode : {"hold", "loop", "stop", "gil", "ignore", "flood", "children"}) {
    SCOPED_TRACE(mode);
    ControllerProcess controller(mode, spec(), 1);
    (void)controller.ready();
    controller.signal(SIGKILL);
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 12s));
  }
}

TEST_P(Guarantees, G5_a_killed_controller_leaves_nothing) {
  ControllerProcess busy("load", spec(), 3);
  ControllerProcess holding("gil", spec(), 1);
  ::kill(busy.ready().front(), SIGSTOP);
  (void)holding.ready();
  busy.signal(SIGKILL);
  holding.signal(SIGKILL);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
}

TEST_P(Guarantees, G6_a_full_channel_and_a_dead_gateway_delay_nobody_else) {
  Gateway gateway = start("window=64K");
  Gateway dead = start("window=64K");
  ::kill(worker_pid(dead), SIGSTOP);
  std::vector<std::thread> stuck;
  for (Channel channel : {gateway.newchannel(), dead.newchannel()})
    stuck.emplace_back([channel]() mutable {
      try {
        for (;;) channel.send(zeros(40'000));
      } catch (const Error&) {
      }
    });
  Channel channel = gateway.remote_exec(echo);
  for (int i = 0; i < 1'000; ++i) {
    channel.send(i);
    ASSERT_EQ(channel.receive<int>(5s), i);
  }
  (void)group().terminate(100ms);
  for (std::thread& thread : stuck) thread.join();
}

TEST_P(Guarantees, G6_gateways_that_crash_delay_nobody) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(echo);
  std::atomic<bool> stop = false;
  std::atomic<int> crashes = 0;
  std::thread crashing([&] {
    while (!stop) {
      Gateway other = start("window=64K");
      const Traffic traffic(other);
      Channel flooding = other.remote_exec("while 1: channel.send(b'x' * 10000)");
      (void)take(flooding);
      ::kill(worker_pid(other), crashes % 2 == 0 ? SIGKILL : SIGSEGV);
      EXPECT_THROW(flooding.waitclose(patience), ConnectionLost);
      other.exit();
      ++crashes;
    }
  });
  for (int i = 0; crashes < 6; ++i) {
    channel.send(i);
    ASSERT_EQ(channel.receive<int>(5s), i);
  }
  stop = true;
  crashing.join();
}

TEST_P(Guarantees, G7_prints_forks_and_closed_streams_leave_the_connection_alone) {
  Gateway gateway = start();
  const Traffic traffic(gateway);
  Channel channel = gateway.remote_exec(R"(
        import os, subprocess, sys
        print("printed", flush=True)
        os.write(1, b"written")
        subprocess.call(["echo", "by a child"])
        if os.fork() == 0:
            print("by a fork", flush=True)
            os._exit(0)
        os.wait()
        os.close(0); os.close(1)
        for item in channel: channel.send(item)
      )");
  for (int i = 0; i < 100; ++i) channel.send(i);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(take<int>(channel), i);
}

}  // namespace
}  // namespace gangway::test
