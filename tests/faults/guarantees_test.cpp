// The guarantees G1 to G7 (RELIABILITY.md, section 4), one short test each: what the README
// promises, as a program that would notice.
#include <thread>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class Guarantees : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, Guarantees, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Guarantees, G1_items_arrive_in_order_exactly_once_and_none_after_the_end) {
  Channel channel = start().remote_exec("for i in range(10000): channel.send(i)\nraise ValueError('the end')");
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(take<int>(channel), i);
  EXPECT_THROW((void)take(channel), RemoteError);
  EXPECT_THROW((void)take(channel), EndOfChannel);
}

TEST_P(Guarantees, G2_whoever_waits_is_told_when_the_agent_is_gone) {
  Gateway gateway = start("window=64K");
  Channel receiving = gateway.newchannel();
  Channel sending = gateway.newchannel();
  Channel closing = gateway.newchannel();
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
  ::kill(worker_pid(gateway), SIGKILL);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(told, 5);
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

TEST_P(Guarantees, G4_terminate_returns_in_time_and_nobody_is_left) {
  std::vector<Gateway> gateways = group().makegateways(std::vector<std::string>(4, spec()));
  ::kill(worker_pid(gateways[1]), SIGSTOP);
  const Channel holding = gateways[2].remote_exec("import ctypes; ctypes.PyDLL(None).sleep(100)");
  Channel ignoring = gateways[3].remote_exec(
      "import signal, time\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\n"
      "channel.send(1)\nwhile 1: time.sleep(1)");
  EXPECT_EQ(take<int>(ignoring), 1);
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(500ms).survivors, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 500ms + 2s);
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
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
  ControllerProcess controller("hold", spec(), 3);
  ::kill(controller.ready().front(), SIGSTOP);
  controller.signal(SIGKILL);
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
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  for (int i = 0; i < 1'000; ++i) {
    channel.send(i);
    ASSERT_EQ(channel.receive<int>(5s), i);
  }
  (void)group().terminate(100ms);
  for (std::thread& thread : stuck) thread.join();
}

TEST_P(Guarantees, G7_prints_forks_and_closed_streams_leave_the_connection_alone) {
  Channel channel = start().remote_exec(R"(
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
