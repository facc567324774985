// What can be asked of a gateway while its tasks are busy, and what it says of itself.
#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include <signal.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::StartsWith;

class Status : public AgentTest {};

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

TEST_P(Status, stacks_of_a_main_thread_that_computes_show_where) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(Source::of_function(R"(
        def turns(n):
            while n: n += 1
        def spin(channel):
            channel.send(1)
            turns(1)
      )",
                                                            "spin", "spin.py"));
  EXPECT_EQ(take<int>(channel), 1);
  std::string text;
  EXPECT_TRUE(eventually([&] { return (text = gateway.stacks(patience)).find("in turns") != std::string::npos; }))
      << text;
  EXPECT_THAT(text, ::testing::ContainsRegex("spin.py\", line 6, in spin\n.*spin.py\", line 3, in turns"));
  EXPECT_THAT(text, ::testing::HasSubstr("main thread"));
  EXPECT_THAT(text, ::testing::HasSubstr("task of channel " + std::to_string(channel.id())));
  EXPECT_TRUE(channel.interrupt(patience));
}

TEST_P(Status, stacks_show_tasks_of_other_threads_and_callbacks) {
  Gateway gateway = start();
  Channel first = gateway.remote_exec("channel.send(1)\nchannel.receive()");
  EXPECT_EQ(take(first), 1);
  Channel second = gateway.remote_exec(Source::of_function(R"(
        import threading
        gate = threading.Event()
        def callback(item):
            gate.wait(20)
        def work(channel):
            other = channel.gateway.newchannel()
            other.setcallback(callback)
            channel.send(other)
            channel.receive()
            gate.set()
      )",
                                                           "work", "second.py"));
  Channel other = take<Channel>(second);
  other.send(1);
  std::string text;
  EXPECT_TRUE(eventually([&] { return (text = gateway.stacks(patience)).find("in callback") != std::string::npos; }))
      << text;
  EXPECT_THAT(text, ::testing::HasSubstr("in work"));
  EXPECT_THAT(text, ::testing::HasSubstr("task of channel " + std::to_string(second.id())));
  second.send(nullptr);
  second.waitclose(patience);
}

/// The kind of a value, and of what is in it.
std::string kind(const Value& value) {
  if (const auto* const dict = value.get_if<Dict>()) {
    std::string text = "{";
    if (dict->empty()) return "{}";
    const bool by_number = dict->begin()->first.get_if<std::int64_t>() != nullptr;
    std::set<std::string> parts;
    for (const auto& [key, item] : *dict) parts.insert((by_number ? "int" : to_string(key)) + ": " + kind(item));
    for (const std::string& part : parts) text += part + ", ";
    return text + "}";
  }
  if (const auto* const list = value.get_if<List>()) {
    std::set<std::string> parts;
    for (const Value& item : *list) parts.insert(kind(item));
    std::string text = "[";
    for (const std::string& part : parts) text += part + ", ";
    return text + "]";
  }
  if (const auto* const tuple = value.get_if<Tuple>()) {
    std::string text = "(";
    for (const Value& item : *tuple) text += kind(item) + ", ";
    return text + ")";
  }
  return value.get_if<std::int64_t>() != nullptr  ? "int"
         : value.get_if<double>() != nullptr      ? "float"
         : value.get_if<std::string>() != nullptr ? "str"
                                                  : to_string(value);
}

TEST_P(Status, has_the_same_keys_of_the_same_kinds_whoever_answers) {
  Gateway gateway = start("window=64K");
  Channel busy = gateway.remote_exec(Source::of_function(
      "def work(channel):\n  channel.send(1)\n  while True: channel.send(b'x' * 10000)", "work", "job.py"));
  EXPECT_EQ(take(busy), 1);
  Channel second = gateway.remote_exec("channel.send(1)\nchannel.receive()");
  EXPECT_EQ(take(second), 1);
  EXPECT_TRUE(eventually([&] { return !gateway.remote_status(patience).queued.empty(); }));
  EXPECT_EQ(kind(Value(gateway.remote_status(patience).details)),
            "{'agent': str, 'execmodel': str, 'executable': str, 'memory': int, 'numchannels': int, "
            "'numexecuting': int, 'pid': int, "
            "'python': str, 'queued': {int: (int, int, ), }, "
            "'tasks': [{'age': float, 'channel': int, 'source': str, 'thread': int, }, ], "
            "'unresponsive': float, 'uptime': float, 'version': str, }");
}

TEST_P(Status, tells_tasks_memory_and_what_is_queued) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(Source::of_function(
      "def work(channel):\n  channel.send(1)\n  channel.receive()\n  channel.receive()", "work", "job.py"));
  EXPECT_EQ(take<int>(channel), 1);
  const RemoteStatus status = gateway.remote_status(patience);
  EXPECT_EQ(status.pid, gateway.info().pid);
  EXPECT_EQ(status.agent, gateway.info().agent);
  EXPECT_EQ(status.executable, gateway.info().executable);
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
  constexpr auto echo = "channel.send(type(channel.receive()).__name__)\nchannel.send('text')";
  Channel before = gateway.remote_exec(echo);
  gateway.reconfigure(true, true);
  Channel after = gateway.remote_exec(echo);
  gateway.reconfigure();
  Channel again = gateway.remote_exec(echo);
  for (Channel* channel : {&before, &after, &again}) channel->send("text");
  EXPECT_EQ(take(before), "str");
  EXPECT_EQ(take(before), "text");
  EXPECT_EQ(take(after), Value(bytes_of("bytes")));
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
