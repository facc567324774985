// Rows B of the fault catalogue (README.md here): how agents die, and what the controller sees of it.
#include <algorithm>
#include <future>
#include <random>
#include <thread>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class Death : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, Death, ::testing::ValuesIn(main_agents()), agent_name);

// G1, G2: what was received is a prefix of what was sent, and then comes an error.
TEST_P(Death, B1_killed_while_sending) {
  std::mt19937 random(7);
  for (int round = 0; round < 8; ++round) {
    Gateway gateway = start();
    Channel channel = gateway.remote_exec(R"(
          n = 0
          while True:
              channel.send((n, b"x" * (n % 7 * 30000)))
              n += 1
        )");
    const auto stop = std::uniform_int_distribution<int>(0, 300)(random);
    int next = 0;
    try {
      for (;;) {
        const Value item = take(channel);
        ASSERT_EQ(item.as_tuple().at(0), next);
        ASSERT_EQ(item.as_tuple().at(1).as_bytes().size(), static_cast<std::size_t>(next % 7 * 30'000));
        if (next++ == stop) ::kill(worker_pid(gateway), SIGKILL);
      }
    } catch (const ConnectionLost& error) {
      EXPECT_EQ(error.code(), errc::connection_lost);
      EXPECT_EQ(error.death().signal, SIGKILL);
      EXPECT_THAT(error.what(), HasSubstr("SIGKILL (signal 9)"));
    }
    EXPECT_GT(next, stop);
    EXPECT_THROW(channel.send(1), ConnectionLost);
    EXPECT_FALSE(channel.isclosed());
  }
}

TEST_P(Death, B2_killed_while_idle_ends_all_channels) {
  Gateway gateway = start();
  std::vector<Channel> channels;
  for (int i = 0; i < 20; ++i) channels.push_back(gateway.remote_exec("channel.receive()"));
  for (int i = 0; i < 20; ++i) channels.push_back(gateway.newchannel());
  (void)gateway.remote_status(patience);
  ::kill(worker_pid(gateway), SIGKILL);
  for (Channel& channel : channels) EXPECT_EQ(lost(channel).death().signal, SIGKILL);
  EXPECT_FALSE(gateway.hasreceiver());
  EXPECT_TRUE(gateway.join(patience));
}

// With nobody waiting, the stand-by notices.
TEST_P(Death, B2_is_noticed_when_nobody_waits) {
  Gateway gateway = start();
  ::kill(worker_pid(gateway), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !gateway.hasreceiver(); }));
  EXPECT_TRUE(eventually([&] { return gateway.death().known(); }));
}

TEST_P(Death, B3_stopped_agent_is_unresponsive_and_recovers) {
  Gateway gateway = start("keepalive=200ms");
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  channel.send(0);
  EXPECT_EQ(take<int>(channel), 0);
  EXPECT_FALSE(gateway.unresponsive());
  ::kill(worker_pid(gateway), SIGSTOP);
  for (int i = 1; i <= 100; ++i) channel.send(i);
  EXPECT_THROW((void)channel.receive(50ms), TimeoutError) << "deadlines still fire";
  EXPECT_THROW((void)gateway.ping(50ms), TimeoutError);
  EXPECT_TRUE(eventually([&] { return gateway.unresponsive().has_value(); }));
  EXPECT_GE(*gateway.unresponsive(), 600ms);
  EXPECT_TRUE(gateway.hasreceiver()) << "reported, not killed";
  ::kill(worker_pid(gateway), SIGCONT);
  for (int i = 1; i <= 100; ++i) EXPECT_EQ(take<int>(channel), i);
  EXPECT_TRUE(eventually([&] { return !gateway.unresponsive(); }));
}

TEST_P(Death, B3_stopped_agent_is_killed_by_terminate) {
  Gateway gateway = start();
  ::kill(worker_pid(gateway), SIGSTOP);
  const auto begin = Clock::now();
  const TerminateReport report = group().terminate(100ms);
  EXPECT_LT(Clock::now() - begin, 100ms + 2s);
  EXPECT_THAT(report.killed, ::testing::SizeIs(1));
  EXPECT_THAT(report.survivors, IsEmpty());
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
}

TEST_P(Death, B3_stopped_keeper_does_not_help_the_agent) {
  Gateway gateway = start();
  ::kill(worker_pid(gateway), SIGSTOP);
  ::kill(keeper_pid(gateway), SIGSTOP);
  const TerminateReport report = group().terminate(100ms);
  EXPECT_THAT(report.survivors, IsEmpty());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 1s));
}

TEST_P(Death, B7_killed_keeper_takes_the_agent_with_it) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import time\nwhile True: time.sleep(1)");
  const pid_t worker = worker_pid(gateway);
  const pid_t keeper = keeper_pid(gateway);
  ASSERT_NE(keeper, ::getpid()) << "there is a keeper between us";
  ::kill(keeper, SIGKILL);
  (void)lost(channel);
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
}

TEST_P(Death, B7_killed_keeper_of_a_stopped_agent) {
  Gateway gateway = start();
  const pid_t worker = worker_pid(gateway);
  ::kill(worker, SIGSTOP);
  ::kill(keeper_pid(gateway), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
}

// Nobody in the group is told that the keeper is gone, and it had not come to killing it.
TEST_P(Death, B7_killed_keeper_of_an_agent_that_has_ended_leaves_nothing_behind) {
  Gateway gateway = start();
  const pid_t worker = worker_pid(gateway);
  const pid_t keeper = keeper_pid(gateway);
  Channel channel = gateway.remote_exec(R"(
        import os, subprocess
        channel.send(subprocess.Popen(["sleep", "1000"]).pid)
        channel.receive()
        os._exit(0)
      )");
  const auto child = take<pid_t>(channel);
  ::kill(keeper, SIGSTOP);
  channel.send(nullptr);
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
  ::kill(keeper, SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_alive(child); }));
}

TEST_P(Death, B7_join_waits_for_the_agent_when_its_keeper_is_killed) {
  Gateway gateway = start();
  const pid_t worker = worker_pid(gateway);
  const pid_t keeper = keeper_pid(gateway);
  gateway.exit();
  ::kill(keeper, SIGKILL);
  ASSERT_TRUE(gateway.join(patience));
  EXPECT_FALSE(is_alive(worker));
}

// Documented: what user code takes out of the group is not ours to kill.
TEST_P(Death, B8_daemonised_process_survives_and_holds_nothing_up) {
  Gateway gateway = start();
  const auto daemon = static_cast<pid_t>(ask<int>(gateway, R"(
        import os, time
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(write, b"%d" % os.getpid())
            os.close(write)
            time.sleep(100)
            os._exit(0)
        os.wait()
        channel.send(int(os.read(read, 20)))
      )"));
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(5s).killed, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 4s);
  EXPECT_TRUE(gateway.join(0s));
  EXPECT_TRUE(is_alive(daemon));
  ::kill(daemon, SIGKILL);
}

TEST_P(Death, B9_child_that_inherited_everything_does_not_hold_the_end_up) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import os, subprocess
        child = subprocess.Popen(["sleep", "1000"], close_fds=False)
        channel.send(child.pid)
        channel.receive()
        os._exit(0)
      )");
  const pid_t child = take<pid_t>(channel);
  EXPECT_TRUE(is_alive(child));
  const auto begin = Clock::now();
  channel.send(nullptr);
  EXPECT_EQ(lost(channel).death().exit_status, 0);
  EXPECT_LT(Clock::now() - begin, 4s);
  EXPECT_TRUE(eventually([&] { return !is_alive(child); })) << "killed with the group";
}

TEST_P(Death, B9_children_of_a_terminated_agent_are_killed) {
  Gateway gateway = start();
  const pid_t child = ask<pid_t>(gateway, "import subprocess; channel.send(subprocess.Popen(['sleep', '1000']).pid)");
  (void)group().terminate(10s);
  EXPECT_TRUE(eventually([&] { return !is_alive(child); }));
}

TEST_P(Death, B10_texts_say_how_it_ended) {
  const CrashesAreCrashes plain;
  EXPECT_THAT(lost(start().remote_exec("import os; os._exit(3)")).what(), HasSubstr("exit status 3"));
  const auto aborted = lost(start().remote_exec("import os; os.abort()"));
  EXPECT_THAT(aborted.what(), HasSubstr("SIGABRT (signal 6)"));
  EXPECT_EQ(aborted.death().signal, SIGABRT);
  const auto crashed =
      lost(start().remote_exec("import ctypes, resource, sys\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
                               "sys.stderr.write('about to crash\\n'); sys.stderr.flush()\nctypes.string_at(1)"));
  EXPECT_THAT(crashed.what(), AllOf(HasSubstr("SIGSEGV (signal 11)"), HasSubstr("about to crash")));
  EXPECT_THAT(lost(start().remote_exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")).what(),
              HasSubstr("signal 15"));
}

TEST_P(Death, B10_python_stack_of_a_crash_is_in_the_death_record) {
  const CrashesAreCrashes plain;
  struct Crash {
    const char* source;
    int signal;
    const char* text;
  };
  for (const Crash& crash :
       {Crash{"import ctypes; ctypes.string_at(0)", SIGSEGV, "Segmentation fault"},
        Crash{"import os; os.abort()", SIGABRT, "Aborted"},
        Crash{"import ctypes; ctypes.pythonapi.Py_FatalError(b'on purpose')", SIGABRT, "on purpose"}}) {
    SCOPED_TRACE(crash.source);
    const auto end =
        lost(start().remote_exec(std::string("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n") +
                                 "def crash(): " + crash.source + "\ncrash()"));
    EXPECT_EQ(end.death().signal, crash.signal);
    EXPECT_THAT(end.death().stderr_tail, AllOf(HasSubstr("Fatal Python error: "), HasSubstr(crash.text),
                                               HasSubstr("File \"<remote exec>\", line 2 in crash")));
  }
  const auto killed = lost(start().remote_exec("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"));
  EXPECT_EQ(killed.death().signal, SIGKILL);
  const auto left = lost(start().remote_exec("import os; os._exit(3)"));
  EXPECT_EQ(left.death().exit_status, 3);
  for (const auto& quiet : {killed, left}) EXPECT_THAT(quiet.death().stderr_tail, Not(HasSubstr("Fatal")));
}

// Each way to die reads differently.
TEST_P(Death, B10_deaths_are_told_apart) {
  const CrashesAreCrashes plain;
  const auto text = [&](std::string_view source) -> std::string { return lost(start().remote_exec(source)).what(); };
  constexpr std::string_view no_core =
      "import ctypes, os, resource, signal\n"
      "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n";
  const std::string prefix(no_core);
  EXPECT_THAT(text("import os; os._exit(0)"), HasSubstr("exit status 0"));
  EXPECT_THAT(text(prefix + "os.abort()"), HasSubstr("killed by SIGABRT (signal 6)"));
  EXPECT_THAT(text(prefix + "ctypes.pythonapi.Py_FatalError(b'all is lost')"),
              AllOf(HasSubstr("killed by SIGABRT (signal 6): Fatal Python error: "), HasSubstr("all is lost")));
  EXPECT_THAT(text(prefix + "ctypes.string_at(1)"), HasSubstr("killed by SIGSEGV (signal 11)"));
  const std::string killed = text(prefix + "os.kill(os.getpid(), signal.SIGKILL)");
  EXPECT_THAT(killed, AllOf(HasSubstr("killed by SIGKILL (signal 9), from outside"), Not(HasSubstr("this program"))));
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.receive()");
  gateway.kill();
  EXPECT_THAT(lost(channel).what(), HasSubstr("killed by SIGKILL (signal 9), by this program"));
}

// Where in Python the crash was, of a function with a file.
TEST_P(Death, B10_a_crash_leaves_the_python_stack_in_the_tail) {
  const CrashesAreCrashes plain;
  const auto error = lost(start().remote_exec(Source::of_function(R"(
        import ctypes, resource
        def crash_here(channel):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            ctypes.string_at(1)
      )",
                                                                  "crash_here", "crash.py")));
  EXPECT_THAT(error.what(), HasSubstr("killed by SIGSEGV (signal 11): Fatal Python error: Segmentation fault"));
  EXPECT_THAT(error.death().stderr_tail, AllOf(HasSubstr("crash_here"), HasSubstr("crash.py")));
}

TEST_P(Death, B10_items_sent_before_a_crash_arrive) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import os\nfor i in range(10): channel.send(i)\nos._exit(3)");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take<int>(channel), i);
  EXPECT_EQ(lost(channel).death().exit_status, 3);
}

// Collected for the sake of larger writes is only what comes faster than any of this would matter.
TEST_P(Death, B10_items_of_a_busy_task_before_a_crash_arrive) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import os, time
        for i in range(400):
            channel.send(i)
            end = time.perf_counter() + 0.0001
            while time.perf_counter() < end: pass
        channel.send("last")
        os._exit(3)
      )");
  for (int i = 0; i < 400; ++i) EXPECT_EQ(take<int>(channel), i);
  EXPECT_EQ(take<std::string>(channel), "last");
  EXPECT_EQ(lost(channel).death().exit_status, 3);
}

TEST_P(Death, B12_thread_that_never_ends_does_not_hold_the_channel_or_the_end) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import threading, time
        def work():
            while True: time.sleep(1)
        threading.Thread(target=work, daemon=False).start()
      )");
  channel.waitclose(patience);
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 4s);
}

TEST_P(Death, B13_terminate_while_a_hundred_sends_wait_for_credit) {
  Gateway gateway = start("window=1024");
  std::atomic<int> waiting = 0;
  std::atomic<int> ended = 0;
  std::vector<std::thread> threads;
  std::vector<Channel> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(gateway.newchannel());
  for (int i = 0; i < 100; ++i)
    threads.emplace_back([&, channel = channels[static_cast<std::size_t>(i % 10)]]() mutable {
      try {
        ++waiting;
        for (;;) channel.send(std::string(500, 'x'));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), errc::terminated) << error.what();
        ++ended;
      }
    });
  EXPECT_TRUE(eventually([&] { return waiting == 100; }));
  std::this_thread::sleep_for(50ms);  // most of them wait by now; it does not matter how many
  const auto begin = Clock::now();
  (void)group().terminate(1s);
  EXPECT_LT(Clock::now() - begin, 3s);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 100);
}

TEST_P(Death, B14_terminate_twice_and_from_eight_threads) {
  std::vector<Gateway> gateways = group().makegateways({spec(), spec(), spec()});
  for (Gateway& gateway : gateways) {
    Channel channel = gateway.remote_exec("import time\nchannel.send(1)\nwhile True: time.sleep(1)");
    EXPECT_EQ(take<int>(channel), 1);
  }
  std::vector<std::thread> threads;
  std::atomic<std::size_t> survivors = 0;
  const auto begin = Clock::now();
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { survivors += group().terminate(200ms).survivors.size(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(Clock::now() - begin, 200ms + 2s);
  EXPECT_EQ(survivors, 0u);
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
  EXPECT_THAT(group().terminate(0s).killed, IsEmpty());
}

TEST_P(Death, B14_terminate_from_a_completion_handler) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.send(1)\nchannel.receive()");
  std::promise<std::size_t> done;
  channel.async_receive([&](boost::system::error_code, const Value&) {
    try {
      done.set_value(group().terminate(5s).killed.size());
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  auto future = done.get_future();
  ASSERT_EQ(future.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(future.get(), 0u);
  EXPECT_TRUE(group().empty());
}

TEST_P(Death, B16_three_hundred_cycles_leave_nothing) {
  Gateway warm = start();
  std::vector<std::size_t> memory;
  std::size_t descriptors = 0;
  for (int cycle = 0; cycle < 300; ++cycle) {
    Gateway gateway = start();
    gateway.exit();
    ASSERT_TRUE(gateway.join(patience));
    if (cycle % 50 == 49) {
      gateway = {};
      EXPECT_TRUE(eventually([] {
        const auto children = Holdings::now().children;
        return std::none_of(children.begin(), children.end(),
                            [](const auto& child) { return child.second.starts_with("Z"); });
      }));
      memory.push_back(resident());
      if (cycle == 49)
        EXPECT_TRUE(eventually([&] { return (descriptors = open_descriptors()) < 30; }));
      else
        EXPECT_TRUE(eventually([&] { return open_descriptors() <= descriptors; }))
            << open_descriptors() << " " << descriptors;
    }
  }
  if (!sanitized) {
    EXPECT_LT(memory.back(), memory.front() + (1u << 20)) << "250 cycles took more than 4 KiB each";
  }
}

TEST_P(Death, B18_out_of_memory_kill_is_reported) {
  const Cgroup cgroup("memory");
  if (!cgroup) GTEST_SKIP() << "no memory cgroup can be made here (not root, or not delegated)";
  ASSERT_TRUE(cgroup.write(cgroup.v2() ? "memory.max" : "memory.limit_in_bytes", "60000000"));
  (void)cgroup.write("memory.swap.max", "0");
  Gateway gateway = start();
  ASSERT_TRUE(cgroup.add(worker_pid(gateway)));
  const auto error = lost(gateway.remote_exec("x = []\nwhile True: x.append(bytearray(1000000))"));
  EXPECT_EQ(error.death().signal, SIGKILL);
  EXPECT_THAT(error.what(), HasSubstr("signal 9), from outside (out of memory"));
  EXPECT_THAT(group().terminate(5s).survivors, IsEmpty());
}

TEST_P(Death, B19_frozen_agent_is_unresponsive_and_recovers) {
  const Cgroup cgroup("freezer");
  if (!cgroup) GTEST_SKIP() << "no freezer cgroup can be made here (not root, or not delegated)";
  Gateway gateway = start("keepalive=200ms");
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  ASSERT_TRUE(cgroup.add(worker_pid(gateway)));
  ASSERT_TRUE(cgroup.freeze(true));
  channel.send(1);
  EXPECT_TRUE(eventually([&] { return gateway.unresponsive().has_value(); }));
  ASSERT_TRUE(cgroup.freeze(false));
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_TRUE(eventually([&] { return !gateway.unresponsive(); }));
  (void)group().terminate(5s);
}

// B15: with version 1 of the freezer not even KILL reaches it, as in an uninterruptible sleep.
TEST_P(Death, B15_an_agent_that_cannot_be_killed_is_reported_in_time) {
  const Cgroup cgroup("freezer");
  if (!cgroup) GTEST_SKIP() << "no freezer cgroup can be made here (not root, or not delegated)";
  if (cgroup.v2()) GTEST_SKIP() << "a process frozen by cgroup v2 can be killed";
  Gateway gateway = start("id=frozen");
  Gateway other = start();
  // The whole of it: what we wait for is the keeper.
  ASSERT_TRUE(cgroup.add(worker_pid(gateway)));
  ASSERT_TRUE(cgroup.add(keeper_pid(gateway)));
  ASSERT_TRUE(cgroup.freeze(true));
  const std::string keeper = std::to_string(keeper_pid(gateway));
  const auto begin = Clock::now();
  const TerminateReport report = group().terminate(100ms);
  EXPECT_LT(Clock::now() - begin, 100ms + 2s);
  EXPECT_THAT(report.killed, ::testing::ElementsAre("frozen"));
  EXPECT_THAT(report.survivors, ::testing::ElementsAre("frozen (pid " + keeper + ")"));
  ASSERT_TRUE(cgroup.freeze(false));
  EXPECT_THAT(group().terminate(1s).survivors, IsEmpty());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 2s));
}

TEST_P(Death, B20_forked_child_of_the_agent_cannot_use_the_connection) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import os
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            told = []
            for use in (lambda: channel.send("from the child"), lambda: channel.receive(0.1),
                        lambda: channel.gateway.newchannel(), lambda: channel.waitclose(0.1)):
                try:
                    use()
                    told.append("worked")
                except Exception as error:
                    told.append(type(error).__name__)
            os.write(write, " ".join(told).encode())
            os._exit(0)
        os.close(write)
        told = b""
        while True:
            piece = os.read(read, 1000)
            if not piece: break
            told += piece
        os.waitpid(pid, 0)
        channel.send(told.decode())
        for item in channel: channel.send(item)
      )");
  const auto told = take<std::string>(channel);
  EXPECT_THAT(told, Not(HasSubstr("worked")));
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
}

TEST_P(Death, B20_forked_child_that_returns_from_the_task_ends) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import os\nif os.fork():\n  channel.send(os.wait()[1] >> 8)");
  EXPECT_EQ(take<int>(channel), 0);
  channel.waitclose(patience);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  Channel failing = gateway.remote_exec("import os\nif os.fork():\n  channel.send(os.wait()[1] >> 8)\nelse:\n  1/0");
  EXPECT_EQ(take<int>(failing), 1);
}

TEST_P(Death, B21_another_program_in_place_of_the_agent) {
  const auto error = lost(start().remote_exec("import os; os.execv('/bin/sleep', ['sleep', '1000'])"));
  EXPECT_EQ(error.code(), errc::connection_lost);
  EXPECT_TRUE(wait_for_no_agents(5s));
}

/// "" when it is not installed.
std::string faketime_library() {
  for (const char* const path : {"/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
                                 "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"})
    if (::access(path, R_OK) == 0) return path;
  return {};
}

TEST_P(Death, B22_wall_clock_jumps_do_not_matter) {
  const std::string library = faketime_library();
  if (library.empty()) GTEST_SKIP() << "libfaketime is not installed";
  const std::string clock = directory().write("clock", "+0\n");
  Gateway gateway = group().makegateway(wrapped("export LD_PRELOAD=" + library +
                                                    " FAKETIME_DONT_FAKE_MONOTONIC=1 "
                                                    "FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE=" +
                                                    clock + "\nexec \"$@\"",
                                                "keepalive=200ms"));
  Channel channel = gateway.remote_exec(
      "import time\nchannel.send(time.time())\ntry: channel.receive(2)\n"
      "except channel.TimeoutError: channel.send(time.time())");
  const double before = take<double>(channel);
  (void)directory().write("clock", "+10d\n");
  EXPECT_THROW((void)channel.receive(1s), TimeoutError);
  EXPECT_GT(take<double>(channel), before + 86'400);
  EXPECT_FALSE(gateway.unresponsive());
}

class ControllersClock : public GroupTest {};

TEST_F(ControllersClock, B22_wall_clock_jumps_do_not_matter) {
  const std::string library = faketime_library();
  if (library.empty()) GTEST_SKIP() << "libfaketime is not installed";
  const TemporaryDirectory directory;
  const std::string clock = directory.write("clock", "+0\n");
  const EnvironmentScope preload("LD_PRELOAD", library), monotonic("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
      cache("FAKETIME_NO_CACHE", "1"), file("FAKETIME_TIMESTAMP_FILE", clock);
  // It ends when it loses a gateway.
  ControllerProcess controller("load", "popen//python=env -u LD_PRELOAD /usr/bin/python3//keepalive=200ms", 2);
  EXPECT_EQ(controller.ready().size(), 2u);
  for (const char* const jump : {"+10d\n", "+0\n"}) {
    (void)directory.write("clock", jump);
    EXPECT_FALSE(controller.wait(1500ms)) << jump;
  }
  controller.signal(SIGKILL);
  EXPECT_TRUE(controller.wait());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 15s));
}

}  // namespace
}  // namespace gangway::test
