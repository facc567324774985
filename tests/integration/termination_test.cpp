// exit, join, terminate: politely, with force, and in which time. G4
#include <gmock/gmock.h>

#include <signal.h>
#include <unistd.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sanitized.hpp"

namespace gangway::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Termination : public AgentTest {
 protected:
  using Clock = std::chrono::steady_clock;
};
INSTANTIATE_TEST_SUITE_P(, Termination, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Termination, idle_agent_goes_at_once) {
  (void)start();
  const auto begin = Clock::now();
  const TerminateReport report = group().terminate(10s);
  EXPECT_THAT(report.killed, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 4s) << "not after the grace that tasks get";
  EXPECT_TRUE(group().empty());
  EXPECT_TRUE(find_survivors(cookie()).empty()) << "when terminate returns, they are gone";
}

TEST_P(Termination, tasks_that_wait_for_items_end_at_once_and_quietly) {
  Gateway gateway = start();
  std::vector<Channel> channels;
  for (int i = 0; i < 5; ++i) channels.push_back(gateway.remote_exec("channel.send(1)\nchannel.receive()"));
  for (Channel& channel : channels) EXPECT_EQ(take<int>(channel), 1);
  channels.push_back(gateway.remote_exec("channel.receive()"));  // perhaps it has not begun
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 4s);
  EXPECT_EQ(gateway.death().stderr_tail, "");
  EXPECT_EQ(gateway.death().exit_status, 0);
}

TEST_P(Termination, exit_returns_at_once_and_pending_receives_end) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.receive()");
  gateway.exit();
  gateway.exit();
  EXPECT_TRUE(group().empty());
  EXPECT_THROW((void)take(channel), EndOfChannel);
  EXPECT_TRUE(gateway.join(patience));
  EXPECT_FALSE(gateway.hasreceiver());
  EXPECT_THROW((void)take(channel), EndOfChannel);
  EXPECT_THROW(channel.send(1), Error);
  EXPECT_EQ(gateway.death().exit_status, 0);
}

TEST_P(Termination, join_waits_for_the_end) {
  Gateway gateway = start();
  EXPECT_FALSE(gateway.join(20ms));
  gateway.exit();
  EXPECT_TRUE(gateway.join());
}

TEST_P(Termination, items_on_their_way_arrive_before_the_end) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("for i in range(1000): channel.send(i)");
  channel.waitclose(patience);
  (void)group().terminate(10s);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(take<int>(channel), i);
  EXPECT_THROW((void)take(channel), EndOfChannel);
}

TEST_P(Termination, a_task_that_ends_within_the_grace_may_finish) {
  const TemporaryDirectory directory;
  Gateway gateway = start("env:DIR=" + directory.path());
  Channel channel = gateway.remote_exec(R"(
        import os, time
        channel.send(1)
        try:
            channel.receive()
        except EOFError:
            time.sleep(1)
            open(os.environ["DIR"] + "/done", "w").close()
      )");
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  EXPECT_EQ(::access((directory / "done").c_str(), F_OK), 0);
}

TEST_P(Termination, atexit_functions_run) {
  const TemporaryDirectory directory;
  start("env:DIR=" + directory.path())
      .remote_exec("import atexit, os; atexit.register(os.mkdir, os.environ['DIR'] + '/done')")
      .waitclose(patience);
  (void)group().terminate(10s);
  EXPECT_EQ(::access((directory / "done").c_str(), F_OK), 0);
}

TEST_P(Termination, a_task_that_does_not_end_is_killed_after_the_timeout) {
  Gateway gateway = start("id=stubborn");
  Gateway polite = start("id=polite");
  Channel channel = gateway.remote_exec(R"(
        import signal, time
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        channel.send(1)
        while True: time.sleep(1)
      )");
  EXPECT_EQ(take<int>(channel), 1);
  const auto begin = Clock::now();
  const auto timeout = sanitized ? 3s : std::chrono::milliseconds(300);  // for the polite one to go in time
  const TerminateReport report = group().terminate(timeout);
  EXPECT_LT(Clock::now() - begin, timeout + 2s);
  EXPECT_THAT(report.killed, ElementsAre("stubborn"));
  EXPECT_THAT(report.survivors, IsEmpty());
  EXPECT_TRUE(find_survivors(cookie()).empty());
  EXPECT_EQ(gateway.death().signal, SIGKILL);
  EXPECT_EQ(polite.death().exit_status, 0);
}

TEST_P(Termination, timeout_of_zero_kills_what_does_not_go_at_once) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import time\nchannel.send(1)\nwhile True: time.sleep(1)");
  EXPECT_EQ(take<int>(channel), 1);
  const auto begin = Clock::now();
  (void)group().terminate(0s);
  EXPECT_LT(Clock::now() - begin, 2s);
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

TEST_P(Termination, without_a_timeout_it_waits_for_the_tasks) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import time\nchannel.send(1)\ntime.sleep(1)");
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_THAT(group().terminate().killed, IsEmpty());
  EXPECT_EQ(gateway.death().exit_status, 0);
}

TEST_P(Termination, gateways_that_exited_before_are_waited_for) {
  Gateway gateway = start();
  gateway.exit();
  (void)group().terminate(10s);
  EXPECT_TRUE(find_survivors(cookie()).empty());
  EXPECT_TRUE(gateway.join(0s));
}

TEST_P(Termination, of_a_group_whose_agents_are_dead_returns_at_once) {
  Gateway gateway = start();
  ::kill(static_cast<pid_t>(gateway.info().pid), SIGKILL);
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

TEST_P(Termination, dying_agent_stays_in_the_group_until_it_is_exited) {
  Gateway gateway = start();
  const auto error = lost(gateway.remote_exec("import os; os._exit(3)"));
  EXPECT_THAT(error.what(), HasSubstr("exit status 3"));
  EXPECT_EQ(group().size(), 1u);
  gateway.exit();
  EXPECT_TRUE(group().empty());
}

TEST_P(Termination, destructor_of_the_group_terminates) {
  {
    Group own;
    Gateway gateway = own.makegateway(spec());
    Channel channel = gateway.remote_exec("import time\nchannel.send(1)\ntime.sleep(100)");
    EXPECT_EQ(take<int>(channel), 1);
  }
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

TEST_P(Termination, handles_may_outlive_the_group) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.receive()");
  end_group();
  EXPECT_THROW((void)take(channel), EndOfChannel);
  EXPECT_THROW((void)gateway.newchannel(), Error);
  EXPECT_FALSE(gateway.hasreceiver());
  channel.close();
}

}  // namespace
}  // namespace gangway::test
