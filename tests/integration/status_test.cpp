// What can be asked of a gateway while its tasks are busy, and what it says of itself.
#include <gmock/gmock.h>

#include <sstream>

#include <signal.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::MatchesRegex;
using ::testing::StartsWith;

class Status : public AgentTest {};

/// An agent that answers a STATUS with its tasks knows the newer control frames, too.
#define SKIP_FOR_AN_OLDER_AGENT(gateway)                            \
  if (!(gateway).remote_status(patience).details.contains("tasks")) \
  GTEST_SKIP() << "this agent does not know the newer control frames"

INSTANTIATE_TEST_SUITE_P(, Status, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Status, is_answered_while_all_tasks_block) {
  Gateway gateway = start();
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 0);
  EXPECT_EQ(gateway.remote_status(patience).numchannels, 0) << "asking leaves no channel behind";
  std::vector<Channel> busy;
  for (int i = 0; i < 3; ++i) busy.push_back(gateway.remote_exec("channel.receive()"));
  busy.push_back(
      gateway.remote_exec("import time\nchannel.send(1)\nwhile channel.isclosed() is False: time.sleep(0.005)"));
  EXPECT_EQ(take<int>(busy.back()), 1);
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numexecuting == 4; }));
  EXPECT_EQ(gateway.remote_status(patience).numchannels, 4);
  EXPECT_EQ(gateway.remote_status(patience).execmodel, "thread");
  busy.clear();
  EXPECT_TRUE(eventually([&] {
    const RemoteStatus status = gateway.remote_status(patience);
    return status.numexecuting == 0 && status.numchannels == 0;
  }));
}

TEST_P(Status, ping_is_answered_while_a_task_computes) {
  Gateway gateway = start();
  Channel busy = gateway.remote_exec("channel.send(1)\nx = 0\nwhile not channel.isclosed(): x += 1");
  EXPECT_EQ(take<int>(busy), 1);
  for (int i = 0; i < 5; ++i) EXPECT_GT(gateway.ping(patience).count(), 0);
  EXPECT_FALSE(gateway.unresponsive());
}

TEST_P(Status, info_tells_who_answers) {
  Gateway gateway = start();
  const AgentInfo info = gateway.info();
  EXPECT_EQ(info.agent, native() ? "native" : "portable");
  EXPECT_EQ(info.implementation, "cpython");
  const Value told = ask(gateway, "import sys, os; channel.send(('%d.%d.%d' % sys.version_info[:3], os.getpid()))");
  EXPECT_EQ(told, (Tuple{info.python, info.pid}));
  EXPECT_FALSE(info.version.empty());
  EXPECT_FALSE(info.executable.empty());
}

TEST_P(Status, gateway_prints_itself) {
  Gateway gateway = start("id=printed");
  const auto text = [&] {
    std::ostringstream out;
    out << gateway;
    return out.str();
  };
  EXPECT_EQ(text(), "<Gateway id='printed' receive-live, thread model, 0 active channels>");
  const Channel channel = gateway.newchannel();
  EXPECT_EQ(text(), "<Gateway id='printed' receive-live, thread model, 1 active channels>");
  gateway.exit();
  EXPECT_TRUE(gateway.join(patience));
  EXPECT_THAT(text(), StartsWith("<Gateway id='printed' not-receiving"));
}

TEST_P(Status, of_an_agent_that_does_not_answer_says_for_how_long) {
  Gateway gateway = start("keepalive=100ms//id=quiet");
  const auto pid = static_cast<pid_t>(gateway.info().pid);
  (void)gateway.ping(patience);
  ::kill(pid, SIGSTOP);
  const auto text = [&](auto ask) -> std::string {
    try {
      ask();
      ADD_FAILURE() << "answered";
    } catch (const TimeoutError& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(text([&] { (void)gateway.remote_status(50ms); }),
            "gateway quiet: the agent has been unresponsive for 0.05 s");
  EXPECT_TRUE(eventually([&] { return gateway.unresponsive().value_or(0s) > 500ms; }));
  const std::string later = text([&] { (void)gateway.ping(50ms); });
  constexpr std::string_view before = "gateway quiet: the agent has been unresponsive for ";
  ASSERT_THAT(later, StartsWith(std::string(before)));
  EXPECT_GE(std::stod(later.substr(before.size())), 0.5);
  ::kill(pid, SIGCONT);
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 0) << "it recovers";
}

TEST_P(Status, stacks_show_where_tasks_are) {
  Gateway gateway = start();
  SKIP_FOR_AN_OLDER_AGENT(gateway);
  Channel channel = gateway.remote_exec(Source::of_function(R"(
        def here_it_waits(channel):
            channel.send(1)
            channel.receive()
      )",
                                                            "here_it_waits", "waiting.py"));
  EXPECT_EQ(take<int>(channel), 1);
  EXPECT_TRUE(eventually([&] { return gateway.stacks(patience).find("here_it_waits") != std::string::npos; }))
      << gateway.stacks(patience);
  EXPECT_THAT(gateway.stacks(patience), ::testing::HasSubstr("waiting.py"));
}

TEST_P(Status, tells_tasks_memory_and_what_is_queued) {
  Gateway gateway = start();
  SKIP_FOR_AN_OLDER_AGENT(gateway);
  Channel channel = gateway.remote_exec(Source::of_function(
      "def work(channel):\n  channel.send(1)\n  channel.receive()\n  channel.receive()", "work", "job.py"));
  EXPECT_EQ(take<int>(channel), 1);
  const RemoteStatus status = gateway.remote_status(patience);
  EXPECT_EQ(status.pid, gateway.info().pid);
  EXPECT_EQ(status.agent, gateway.info().agent);
  EXPECT_EQ(status.python, gateway.info().python);
  EXPECT_EQ(status.version, gateway.info().version);
  EXPECT_GT(status.uptime.count(), 0);
  EXPECT_GT(status.memory.value_or(0), 1'000'000u);
  ASSERT_EQ(status.tasks.size(), 1u);
  EXPECT_EQ(status.tasks[0].channel, channel.id());
  EXPECT_EQ(status.tasks[0].source, "job.py in work");
  EXPECT_GT(status.tasks[0].thread, 0);
  EXPECT_GE(status.tasks[0].age.count(), 0);
  EXPECT_TRUE(status.queued.empty());
  Channel unread = gateway.newchannel();
  unread.send(zeros(5000));
  EXPECT_TRUE(eventually([&] {
    const auto queued = gateway.remote_status(patience).queued;
    return queued.contains(unread.id()) && queued.at(unread.id()).arrived >= 5000;
  }));
}

TEST_P(Status, reconfigure_counts_for_channels_that_are_made_afterwards) {
  Gateway gateway = start();
  SKIP_FOR_AN_OLDER_AGENT(gateway);
  constexpr auto echo = "channel.send(type(channel.receive()).__name__)\nchannel.send('text')";
  Channel before = gateway.remote_exec(echo);
  gateway.reconfigure(true, true);
  Channel after = gateway.remote_exec(echo);
  gateway.reconfigure();
  Channel again = gateway.remote_exec(echo);
  for (Channel* channel : {&before, &after, &again}) channel->send("text");
  EXPECT_EQ(take(before), "str");
  EXPECT_EQ(take(before), "text");
  const Value told = take(after);
  if (told == Value(bytes_of("str"))) GTEST_SKIP() << "this agent does not heed RECONFIGURE";
  EXPECT_EQ(told, Value(bytes_of("bytes")));
  EXPECT_EQ(take(after), Value(bytes_of("text")));
  EXPECT_EQ(take(again), "str");
}

TEST_P(Status, kill_ends_it_now_and_the_death_record_says_so) {
  Gateway gateway = start();
  const pid_t child = ask<pid_t>(gateway, "import subprocess; channel.send(subprocess.Popen(['sleep', '1000']).pid)");
  Channel channel = gateway.remote_exec("import time\nwhile True: time.sleep(1)");
  gateway.kill();
  const ConnectionLost error = lost(channel);
  EXPECT_THAT(error.what(), ::testing::HasSubstr("killed by SIGKILL (signal 9), by this program"));
  EXPECT_TRUE(error.death().killed_here);
  EXPECT_EQ(error.death().signal, SIGKILL);
  EXPECT_TRUE(eventually([&] { return ::kill(child, 0) != 0; })) << "its group with it";
  EXPECT_TRUE(group().contains(gateway)) << "until it exits";
  gateway.kill();
  gateway.exit();
  EXPECT_TRUE(gateway.join(patience));
  gateway.kill();
}

TEST_P(Status, of_a_gone_gateway_is_an_error) {
  Gateway gateway = start();
  gateway.exit();
  EXPECT_TRUE(gateway.join(patience));
  EXPECT_THROW((void)gateway.remote_status(patience), ConnectionLost);
  EXPECT_THROW((void)gateway.ping(patience), ConnectionLost);
  EXPECT_THROW((void)gateway.remote_exec("pass"), ConnectionLost);
  EXPECT_THROW((void)gateway.newchannel(), ConnectionLost);
  EXPECT_FALSE(gateway.hasreceiver());
}

}  // namespace
}  // namespace gangway::test
