// via: gateways through gateways.
#include <gmock/gmock.h>

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using Clock = std::chrono::steady_clock;

constexpr std::string_view pids = "import os; channel.send([os.getpid(), os.getppid()])";

/// The hop is of each kind of agent.
class Via : public AgentTest {
 protected:
  [[nodiscard]] Gateway hub(std::string_view more = "id=hub") { return start(more); }
  [[nodiscard]] Gateway through(std::string_view hop, std::string_view more = {}) {
    return group().makegateway("popen//via=" + std::string(hop) + (more.empty() ? "" : "//" + std::string(more)));
  }
  /// The worker's and its keeper's.
  [[nodiscard]] static std::vector<pid_t> processes(const Gateway& gateway) {
    const auto numbers = ask<std::vector<int>>(gateway, pids);
    return {numbers.begin(), numbers.end()};
  }
  [[nodiscard]] bool runs(std::string_view command) const {
    const auto all = find_survivors(cookie());
    return std::any_of(all.begin(), all.end(),
                       [&](const Survivor& one) { return one.command.find(command) != one.command.npos; });
  }
  [[nodiscard]] std::string failure(const std::string& spec) { return start_error(group(), spec).what(); }
};
INSTANTIATE_TEST_SUITE_P(, Via, ::testing::ValuesIn(main_agents()), agent_name);

// --- what it is

TEST_P(Via, the_process_is_the_hops_child) {
  Gateway hop = hub();
  Gateway nested = through("hub", "id=w");
  EXPECT_EQ(ask<int>(nested, "import os; channel.send(os.getppid())"), processes(nested)[1]);
  const pid_t keeper = processes(nested)[1];
  EXPECT_EQ(ask<int>(hop, "channel.send(int(open('/proc/" + std::to_string(keeper) +
                              "/stat').read().rpartition(')')[2].split()[1]))"),
            processes(hop)[0]);
  EXPECT_EQ(nested.id(), "w");
  EXPECT_EQ(ask<std::string>(nested, "channel.send(channel.gateway.id)"), "w-worker");
  EXPECT_THAT(group().terminate(5s).killed, IsEmpty());
  EXPECT_EQ(nested.death().exit_status, 0);
}

TEST_P(Via, without_python_it_is_the_hops_interpreter) {
  Gateway hop = hub();
  Gateway nested = through("hub");
  constexpr std::string_view version = "import sys; channel.send(sys.version)";
  EXPECT_EQ(ask<std::string>(nested, version), ask<std::string>(hop, version));
}

TEST_P(Via, keys_of_the_spec_count_from_where_the_hop_is) {
  const TemporaryDirectory directory;
  (void)hub("id=hub//env:FROM_HOP=1//chdir=" + directory.path());
  Gateway nested = through("hub", "chdir=below//env:MINE=2//nice=3");
  EXPECT_EQ(ask<std::string>(nested, "import os; channel.send(os.getcwd())"), directory / "below");
  EXPECT_EQ(ask<std::string>(nested, "import os; channel.send(os.environ['FROM_HOP'] + os.environ['MINE'])"), "12");
  EXPECT_EQ(ask<int>(nested, "import os; channel.send(os.nice(0))"), ::nice(0) + 3);
}

TEST_P(Via, it_occupies_a_task_of_the_hop) {
  Gateway hop = hub();
  EXPECT_EQ(hop.remote_status().numexecuting, 0);
  Gateway nested = through("hub");
  EXPECT_EQ(hop.remote_status().numexecuting, 1);
  nested.exit();
  EXPECT_TRUE(nested.join(patience));
  EXPECT_TRUE(eventually([&] { return hop.remote_status().numexecuting == 0; }));
  EXPECT_EQ(ask<int>(hop, "channel.send(1)"), 1) << "the hop goes on";
}

TEST_P(Via, a_hop_with_a_main_thread_only_serves_one) {
  (void)hub("id=hub//execmodel=main_thread_only");
  Gateway nested = through("hub", "id=first//execmodel=main_thread_only");
  EXPECT_THAT(failure("popen//via=hub//id=second"),
              ::testing::AllOf(HasSubstr("hub"), HasSubstr("concurrent remote_exec would cause deadlock")));
  EXPECT_EQ(ask<int>(nested, "channel.send(1)"), 1);
  nested.exit();
  EXPECT_TRUE(nested.join(patience));
  Gateway third = through("hub", "id=third");
  EXPECT_EQ(ask<int>(third, "channel.send(3)"), 3) << "one after the other";
}

TEST_P(Via, stderr_comes_through_and_tells_of_the_end) {
  (void)hub();
  Gateway nested = through("hub", "stderr=callback");
  std::mutex mutex;
  std::string text;
  nested.set_output([&](const Output& output) {
    const std::lock_guard lock(mutex);
    text += output.gateway + ": " + output.text;
  });
  Channel channel = nested.remote_exec("import os; os.write(2, b'last words\\n'); os._exit(3)");
  const ConnectionLost error = lost(channel);
  EXPECT_EQ(error.death().exit_status, 3);
  EXPECT_THAT(error.what(), HasSubstr("exit status 3"));
  EXPECT_THAT(error.death().stderr_tail, HasSubstr("last words"));
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return text.find(nested.id() + ": last words\n") != text.npos;
  })) << text;
}

TEST_P(Via, a_signal_is_told_as_one) {
  (void)hub();
  Gateway nested = through("hub");
  Channel channel = nested.remote_exec("import os; os.kill(os.getpid(), 11)");
  EXPECT_EQ(lost(channel).death().signal, SIGSEGV);
}

TEST_P(Via, what_was_sent_before_the_end_arrives) {
  (void)hub();
  Gateway nested = through("hub");
  Channel channel = nested.remote_exec(R"(
        for i in range(15): channel.send(bytes(1 << 20))
      )");
  channel.waitclose(patience);
  nested.exit();
  for (int i = 0; i < 15; ++i) ASSERT_EQ(take<Bytes>(channel).size(), std::size_t{1} << 20);
}

// --- how it fails

TEST_P(Via, unknown_hop) {
  try {
    (void)group().makegateway("popen//via=nobody");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::group_error);
    EXPECT_THAT(error.what(), HasSubstr("no gateway nobody"));
  }
  EXPECT_TRUE(group().empty());
}

TEST_P(Via, a_program_that_the_hop_has_not) {
  (void)hub();
  const std::string text = failure("popen//via=hub//id=w//python=/nowhere/python3");
  EXPECT_THAT(text, StartsWith("gateway w: "));
  EXPECT_THAT(text, HasSubstr("hub"));
  EXPECT_THAT(text, HasSubstr("/nowhere/python3: No such file or directory"));
  EXPECT_EQ(group().size(), 1U);
}

TEST_P(Via, a_program_that_ends) {
  (void)hub();
  EXPECT_THAT(failure("popen//via=hub//python=/bin/sh -c 'echo broken >&2; exit 5'"),
              ::testing::AllOf(HasSubstr("exit status 5"), HasSubstr("broken")));
}

TEST_P(Via, the_hop_dies_while_it_starts) {
  Gateway hop = hub();
  const pid_t worker = processes(hop)[0];
  std::thread killer([&] {
    EXPECT_TRUE(eventually([&] { return runs("sleep 100"); }, 20s));
    ::kill(worker, SIGKILL);
  });
  EXPECT_THAT(failure("popen//via=hub//id=w//python=/bin/sh -c 'sleep 100'"),
              ::testing::AllOf(StartsWith("gateway w: lost with its hop: gateway hub: "), HasSubstr("SIGKILL")));
  killer.join();
}

TEST_P(Via, a_hop_that_is_dead_already) {
  Gateway hop = hub();
  ::kill(processes(hop)[0], SIGKILL);
  EXPECT_TRUE(hop.join(patience));
  EXPECT_THAT(failure("popen//via=hub"), HasSubstr("gateway hub: the connection was lost"));
}

TEST_P(Via, a_hop_that_exits_takes_its_gateways_along) {
  Gateway hop = hub();
  Gateway nested = through("hub", "id=w");
  Channel channel = nested.remote_exec("channel.receive()");
  const auto behind = processes(nested);
  hop.exit();
  EXPECT_THAT(lost(channel).what(), ::testing::AllOf(StartsWith("gateway w: "), HasSubstr("hub")));
  EXPECT_TRUE(hop.join(patience));
  EXPECT_TRUE(nested.join(patience));
  for (const pid_t pid : behind) EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }, 10s));
}

// --- chains

TEST_P(Via, a_chain_carries_bulk_both_ways_and_keeps_the_order) {
  (void)hub("id=a");
  (void)through("a", "id=b//python=/usr/bin/python3");
  (void)through("b", "id=c");
  Gateway last = through("c", "id=d");
  Channel bulk = last.remote_exec(R"(
        import hashlib
        here = hashlib.sha256()
        for item in channel:
            if item is None: break
            here.update(item)
            channel.send(item)
        channel.send(here.hexdigest())
      )");
  Channel numbers = last.remote_exec("for item in channel: channel.send(item)");
  std::thread feeder([&] {
    Bytes piece = zeros(300'007);
    for (int i = 0; i < 200; ++i) {
      for (std::size_t at = 0; at < piece.size(); at += 97) piece.data()[at] = static_cast<std::byte>(i + at / 97);
      bulk.send(piece);
      numbers.send(i);
    }
    bulk.send(nullptr);
  });
  Channel hasher = group().makegateway("popen").remote_exec(R"(
        import hashlib
        here = hashlib.sha256()
        for item in channel:
            if item is None: break
            here.update(item)
        channel.send(here.hexdigest())
      )");
  for (int i = 0; i < 200; ++i) {
    hasher.send(take(bulk));
    ASSERT_EQ(take<int>(numbers), i);
  }
  hasher.send(nullptr);
  EXPECT_EQ(take<std::string>(hasher), take<std::string>(bulk));
  feeder.join();
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
}

TEST_P(Via, a_chain_is_started_without_waiting) {
  const auto all = group().makegateways({spec("id=a"), "popen//via=a//id=b", "popen//via=b//id=c"});
  EXPECT_EQ(ask<int>(all[2], "channel.send(1)"), 1);
}

TEST_P(Via, the_death_of_a_middle_hop_ends_what_is_behind_it_and_nothing_else) {
  Gateway first = hub("id=a");
  Gateway second = through("a", "id=b");
  Gateway third = through("b", "id=c");
  Gateway sibling = through("a", "id=s");
  Channel channel = third.remote_exec("channel.receive()");
  const auto behind = processes(third);
  ::kill(processes(second)[0], SIGKILL);
  EXPECT_THAT(lost(channel).what(),
              ::testing::AllOf(StartsWith("gateway c: lost with its hop: gateway b: "), HasSubstr("SIGKILL")));
  for (const pid_t pid : behind) EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }, 10s));
  EXPECT_EQ(ask<int>(sibling, "channel.send(1)"), 1);
  EXPECT_EQ(ask<int>(first, "channel.send(2)"), 2);
}

TEST_P(Via, a_stopped_gateway_goes_with_its_hop) {
  Gateway first = hub("id=a");
  Gateway second = through("a", "id=b");
  const auto stopped = processes(second);
  ::kill(stopped[0], SIGSTOP);
  ::kill(processes(first)[0], SIGKILL);
  for (const pid_t pid : stopped) EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }, 10s));
}

// --- flow

TEST_P(Via, a_reader_that_is_slow_delays_neither_its_sibling_nor_the_hop) {
  Gateway hop = hub("id=hub//window=65536");
  Gateway slow = through("hub", "id=slow");
  Gateway quick = through("hub", "id=quick");
  // Stopped: nothing is read from its stdin, and what the controller sends piles up.
  ::kill(processes(slow)[0], SIGSTOP);
  Channel stuck = slow.remote_exec("for item in channel: channel.send(len(item))");
  std::thread sender([&] {
    for (int i = 0; i < 8; ++i) stuck.send(zeros(1 << 20));
  });
  for (int i = 0; i < 20; ++i) {
    Channel echo = quick.remote_exec("channel.send(len(channel.receive()))");
    echo.send(zeros(1 << 20));
    ASSERT_EQ(take<int>(echo), 1 << 20);
    ASSERT_LT(hop.ping(patience), 5s);
  }
  for (const Survivor& process : find_survivors(cookie())) ::kill(process.pid, SIGCONT);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(take<int>(stuck), 1 << 20) << "nothing was lost";
  sender.join();
}

TEST_P(Via, who_prints_and_is_not_read_waits_alone) {
  (void)hub("id=hub//window=65536");
  Gateway nested = through("hub", "stderr=callback");
  Channel noisy = nested.remote_exec(R"(
        import os
        for i in range(400): os.write(2, b"x" * 9999 + b"\n")
        channel.send("written")
      )");
  EXPECT_THROW((void)noisy.receive(300ms), TimeoutError) << "more than anything on the way holds";
  EXPECT_EQ(ask<int>(nested, "channel.send(1)"), 1);
  std::atomic<std::size_t> lines = 0;
  nested.set_output([&](const Output& output) {
    lines += static_cast<std::size_t>(std::count(output.text.begin(), output.text.end(), '\n'));
  });
  EXPECT_EQ(take<std::string>(noisy), "written");
  EXPECT_TRUE(eventually([&] { return lines == 400; }, 20s)) << lines;
}

TEST_P(Via, twenty_through_one_hop) {
  std::vector<std::string> specs{spec("id=hub")};
  for (int i = 0; i < 20; ++i) specs.push_back("popen//via=hub//id=w" + std::to_string(i));
  const auto all = group().makegateways(specs);
  std::vector<Channel> channels;
  for (Gateway gateway : all) channels.push_back(gateway.remote_exec("channel.send(channel.receive() + 1)"));
  for (std::size_t at = 0; at < channels.size(); ++at) channels[at].send(at);
  for (std::size_t at = 0; at < channels.size(); ++at) EXPECT_EQ(take<std::size_t>(channels[at]), at + 1);
  const TerminateReport report = group().terminate(20s);
  EXPECT_THAT(report.killed, IsEmpty());
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

// --- the end

TEST_P(Via, terminate_asks_hops_last) {
  const TemporaryDirectory directory;
  (void)hub();
  Gateway nested = through("hub", "env:DIR=" + directory.path());
  Channel channel = nested.remote_exec(R"(
        import os, time
        channel.send(1)
        try:
            channel.receive()
        except EOFError:
            time.sleep(1)
            open(os.environ["DIR"] + "/done", "w").close()
      )");
  EXPECT_EQ(take<int>(channel), 1);
  const TerminateReport report = group().terminate(10s);
  EXPECT_THAT(report.killed, IsEmpty());
  EXPECT_EQ(::access((directory / "done").c_str(), F_OK), 0) << "its task had the time to end";
}

TEST_P(Via, a_stopped_gateway_is_killed_through_its_hop) {
  (void)hub();
  Gateway nested = through("hub", "id=stopped");
  (void)through("hub", "id=polite");
  ::kill(processes(nested)[0], SIGSTOP);
  const auto begin = Clock::now();
  const TerminateReport report = group().terminate(1s);
  EXPECT_LT(Clock::now() - begin, 1s + 2s);
  EXPECT_THAT(report.killed, ElementsAre("stopped"));
  EXPECT_THAT(report.survivors, IsEmpty());
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

TEST_P(Via, stopped_hops_are_killed_with_what_is_behind_them) {
  Gateway first = hub("id=a");
  Gateway second = through("a", "id=b");
  Gateway third = through("b", "id=c");
  for (const Gateway& gateway : {third, second, first}) {
    const auto pair = processes(gateway);
    ::kill(pair[0], SIGSTOP);
  }
  const auto begin = Clock::now();
  const TerminateReport report = group().terminate(300ms);
  EXPECT_LT(Clock::now() - begin, 300ms + 2s);
  EXPECT_THAT(report.killed, UnorderedElementsAre("a", "b", "c"));
  EXPECT_THAT(report.survivors, IsEmpty());
  EXPECT_TRUE(wait_for_no_survivors(cookie()));
}

TEST_P(Via, kill_ends_the_process_behind_the_hop) {
  (void)hub();
  Gateway nested = through("hub");
  const auto pair = processes(nested);
  nested.kill();
  EXPECT_TRUE(eventually([&] { return ::kill(pair[0], 0) != 0 && ::kill(pair[1], 0) != 0; }));
  EXPECT_TRUE(nested.death().killed_here);
}

}  // namespace
}  // namespace gangway::test
