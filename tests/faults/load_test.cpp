// Rows E of the fault catalogue (README.md here): much, slow, and full. Guarantees G3 and G6.
#include <sys/mman.h>
#include <sys/resource.h>

#include <thread>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class Load : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, Load, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Load, E1_ten_thousand_live_channels) {
  Gateway gateway = start();
  Channel echo = gateway.remote_exec(
      "for c in channel: c.send(c.receive() + 1); kept = globals().setdefault('k', []); kept.append(c)");
  const std::size_t before = resident();
  std::vector<Channel> channels;
  for (int i = 0; i < 10'000; ++i) channels.push_back(gateway.newchannel());
  if (!sanitized) {
    EXPECT_LT(resident() - before, 20u << 20);
  }
  for (const std::size_t at : {0u, 5'000u, 9'999u}) {
    channels[at].send(at);
    echo.send(channels[at]);
    EXPECT_EQ(take<std::size_t>(channels[at]), at + 1);
  }
  channels.clear();
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numchannels == 1; }, 10s));
}

TEST_P(Load, E1_more_than_the_limit_is_refused_and_does_no_harm) {
  Gateway gateway = start();
  std::vector<Channel> channels;
  try {
    for (std::size_t i = 0; i <= limits::live_channels; ++i) channels.push_back(gateway.newchannel());
    ADD_FAILURE() << "no limit";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::too_many_channels);
  }
  channels.pop_back();
  channels.pop_back();
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_P(Load, E1_agent_that_opens_too_many_channels_gets_an_error) {
  Gateway gateway = start();
  const auto [count, text] = ask<std::pair<int, std::string>>(gateway, R"(
        kept = []
        try:
            for i in range(100000): kept.append(channel.gateway.newchannel())
        except Exception as error:
            channel.send((len(kept), type(error).__name__))
      )");
  EXPECT_EQ(count, static_cast<int>(limits::peer_channels));
  EXPECT_EQ(text, "OSError");
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

// Scaled: ten minutes of it are a soak.
TEST_P(Load, E2_opening_and_closing_is_flat) {
  Gateway gateway = start();
  std::size_t warm = 0;
  for (int i = 0; i < 5'000; ++i) {
    Channel channel = gateway.newchannel();
    channel.send(i);
    if (i == 2'000) warm = resident();
  }
  if (!sanitized) {
    EXPECT_LT(resident(), warm + (1u << 20));
  }
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numchannels == 0; }));
  for (int i = 0; i < 500; ++i) gateway.remote_exec("pass").waitclose(patience);
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 0);
}

TEST_P(Load, E3_item_beyond_two_gibibytes_is_refused_before_anything_is_sent) {
  const std::size_t size = limits::item + 1;
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  try {
    channel.send_bytes({static_cast<const std::byte*>(memory), size});
    ADD_FAILURE() << "sent";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::item_too_large);
  }
  ::munmap(memory, size);
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
}

// G3: what nobody receives is bounded by the window, in both directions.
TEST_P(Load, E4_slow_reader_here_stops_the_sender_there) {
  Gateway gateway = start("window=1M");
  Channel slow = gateway.remote_exec("for i in range(100): channel.send(b'x' * 1000000)");
  Channel fast = gateway.remote_exec("for item in channel: channel.send(item)");
  const std::size_t before = resident();
  for (int i = 0; i < 2'000; ++i) {
    fast.send(i);
    ASSERT_EQ(take<int>(fast), i);
  }
  if (!sanitized) {
    EXPECT_LT(resident(), before + (16u << 20)) << "100 MB stay where they are";
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(take(slow).as_bytes().size(), 1'000'000u);
}

TEST_P(Load, E4_slow_reader_there_stops_the_sender_here) {
  Gateway gateway = start("window=1M");
  Channel slow = gateway.remote_exec(
      "go = channel.gateway.newchannel(); channel.send(go); go.receive()\n"
      "for i in range(30): channel.receive()\nchannel.send('all')");
  Channel go = take<Channel>(slow);
  std::atomic<int> sent = 0;
  std::thread sender([&, channel = slow]() mutable {
    for (; sent < 30; ++sent) channel.send(zeros(100'000));
  });
  EXPECT_TRUE(eventually([&] { return sent >= 9; }));
  Channel fast = gateway.remote_exec("for item in channel: channel.send(item)");
  for (int i = 0; i < 2'000; ++i) {
    fast.send(i);
    ASSERT_EQ(take<int>(fast), i);
  }
  EXPECT_LE(sent, 12);
  go.send(nullptr);
  EXPECT_EQ(take(slow), "all");
  sender.join();
}

TEST_P(Load, E5_both_sides_send_and_nobody_receives) {
  Gateway gateway = start("window=1M");
  Channel channel = gateway.remote_exec("for i in range(1000): channel.send(b'x' * 1000000)");
  std::atomic<bool> ended = false;
  std::thread sender([&, channel]() mutable {
    try {
      for (int i = 0; i < 1000; ++i) channel.send(zeros(1'000'000));
    } catch (const Error&) {
      ended = true;
    }
  });
  for (int i = 0; i < 20; ++i) {
    (void)gateway.ping(patience);
    EXPECT_EQ(gateway.remote_status(patience).numexecuting, 1);
  }
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 4s);
  sender.join();
  EXPECT_TRUE(ended);
}

// Without windows the pipes fill up, and still both sides read.
TEST_P(Load, E5_the_same_without_windows_comes_through) {
  Gateway gateway = start("window=0");
  Channel channel = gateway.remote_exec(
      "for i in range(50): channel.send(b'x' * 1000000)\n"
      "for i in range(50): channel.receive()\nchannel.send('all')");
  for (int i = 0; i < 50; ++i) channel.send(zeros(1'000'000));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(take(channel).as_bytes().size(), 1'000'000u);
  EXPECT_EQ(take(channel), "all");
}

// E7 without a network: one gateway that answers nothing. G6
TEST_P(Load, E7_a_dead_weight_among_many_gateways) {
  std::vector<Gateway> gateways = group().makegateways(std::vector<std::string>(16, spec("window=64K")));
  Gateway weight = gateways.back();
  gateways.pop_back();
  std::vector<Channel> channels;
  for (Gateway& gateway : gateways) channels.push_back(gateway.remote_exec("for item in channel: channel.send(item)"));
  Channel stuck = weight.remote_exec("for item in channel: channel.send(item)");
  ::kill(worker_pid(weight), SIGSTOP);
  std::thread blocked([stuck]() mutable {
    try {
      for (;;) stuck.send(zeros(50'000));
    } catch (const Error&) {
    }
  });
  for (int round = 0; round < 200; ++round) {
    for (Channel& channel : channels) channel.send(round);
    for (Channel& channel : channels) ASSERT_EQ(take<int>(channel), round);
  }
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(200ms).killed, ::testing::SizeIs(1));
  EXPECT_LT(Clock::now() - begin, 200ms + 2s);
  blocked.join();
}

TEST_P(Load, E8_no_descriptors_left_is_an_error_and_leaks_nothing) {
  if (sanitized) GTEST_SKIP() << "the sanitizers need descriptors of their own";
  Gateway alive = start();
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const std::size_t held = open_descriptors();
  int failures = 0;
  // The limit is one more than the highest number; each start needs a few.
  for (rlim_t limit = held; limit < held + 16; ++limit) {
    rlimit low{limit, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
    try {
      Group other;
      (void)other.makegateway(spec());
    } catch (const Error&) {
      ++failures;
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    ASSERT_TRUE(eventually([&] { return open_descriptors() <= held; })) << open_descriptors() << " after " << held;
  }
  EXPECT_GT(failures, 3);
  EXPECT_EQ(ask<int>(alive, "channel.send(1)"), 1);
  EXPECT_EQ(group().size(), 1u);
}

TEST_P(Load, E9_no_processes_left_is_an_error) {
  const Cgroup cgroup("pids");
  if (!cgroup) GTEST_SKIP() << "no pids cgroup can be made here (not root, or not delegated)";
  // A child of ours goes in, lowers the limit and starts; so this process is not limited.
  ASSERT_TRUE(cgroup.write("pids.max", "1"));
  const pid_t child = ::fork();
  if (child == 0) {
    if (!cgroup.add(::getpid())) ::_exit(2);
    try {
      Group own;
      (void)own.makegateway(spec());
      ::_exit(3);
    } catch (const StartError& error) {
      ::_exit(error.code() == errc::spawn_failed ? 0 : 4);
    } catch (...) {  // no thread for the runtime, say
      ::_exit(0);
    }
  }
  int status = 0;
  EXPECT_TRUE(eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }, 15s));
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// An agent that gets next to no CPU is slow, and is not taken for dead.
// For 990 of every 1,000 ms the agent does not run at all: a quota, as what shares leave to it depends
// on what else the machine does.
TEST_P(Load, E10_without_cpu_time_it_stays_responsive) {
  const Cgroup cgroup("cpu");
  if (!cgroup) GTEST_SKIP() << "no cpu cgroup can be made here (not root, or not delegated)";
  Gateway gateway = start("keepalive=1");
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  if (!(cgroup.v2() ? cgroup.write("cpu.max", "10000 1000000")
                    : cgroup.write("cpu.cfs_period_us", "1000000") && cgroup.write("cpu.cfs_quota_us", "10000")))
    GTEST_SKIP() << "no quota of CPU time can be set here";
  ASSERT_TRUE(cgroup.add(worker_pid(gateway)));
  const auto end = Clock::now() + 5s;
  for (int i = 0; Clock::now() < end; ++i) {
    channel.send(i);
    EXPECT_EQ(take<int>(channel), i);
    EXPECT_FALSE(gateway.unresponsive());
  }
  (void)group().terminate(10s);
}

// E12: many small items on ten channels; nobody starves.
TEST_P(Load, E12_small_items_on_ten_channels_all_arrive) {
  Gateway gateway = start();
  std::vector<Channel> channels;
  for (int i = 0; i < 10; ++i)
    channels.push_back(
        gateway.remote_exec("n = 0\nfor item in channel:\n  n += 1\n  if item < 0: break\nchannel.send(n)"));
  for (int i = 0; i < 20'000; ++i)
    for (Channel& channel : channels) channel.send(i);
  (void)gateway.ping(patience);
  for (Channel& channel : channels) channel.send(-1);
  for (Channel& channel : channels) EXPECT_EQ(take<int>(channel), 20'001);
}

}  // namespace
}  // namespace gangway::test
