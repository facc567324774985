// The core of the behaviour suite, in every Python that is there. Short: a test per
// interpreter and concept, each with many looks at one gateway.
#include <gmock/gmock.h>

#include <csignal>

#include <unistd.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class Core : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Core, ::testing::ValuesIn(all_agents()), agent_name);

TEST_P(Core, runs_tasks_and_reports_their_errors) {
  Gateway gateway = start();
  EXPECT_EQ(ask(gateway, "import sys; channel.send((__name__, sys.argv, '%d.%d.%d' % sys.version_info[:3]))"),
            (Tuple{"__channelexec__", List{"-c"}, gateway.info().python}));
  const std::string text = remote_error(gateway.remote_exec("def f():\n  raise ValueError('text')\nf()"));
  EXPECT_THAT(text, StartsWith("Traceback (most recent call last):\n"));
  EXPECT_THAT(text, HasSubstr("File \"<remote exec>\", line 2, in f\n    raise ValueError('text')"));
  EXPECT_THAT(text, EndsWith("ValueError: text"));
  EXPECT_THAT(remote_error(gateway.remote_exec("1 1")), HasSubstr("SyntaxError"));
  EXPECT_THAT(remote_error(gateway.remote_exec("raise SystemExit(3)")), HasSubstr("SystemExit: 3"));
  EXPECT_EQ(remote_error(gateway.remote_exec("raise KeyboardInterrupt")), "keyboard-interrupted");
  gateway.remote_exec("channel.close").waitclose(patience);
  gateway.remote_exec("raise EOFError").waitclose(patience);
  const auto function = Source::of_function("def f(channel, n): channel.send([n] * n)", "f");
  Channel channel = gateway.remote_exec(function, {{"n", 3}});
  EXPECT_EQ(take(channel), (List{3, 3, 3}));
  EXPECT_EQ(ask<std::string>(gateway, "import inspect\ndef f(): pass\nchannel.send(inspect.getsource(f))"),
            "def f(): pass\n");
}

TEST_P(Core, items_of_all_types_round_trip) {
  Gateway gateway = start();
  Channel echo = gateway.remote_exec("for item in channel: channel.send((repr(type(item)), item))");
  const std::vector<std::pair<std::string, Value>> all{
      {"NoneType", nullptr},
      {"bool", true},
      {"int", -5},
      {"int", std::numeric_limits<std::int64_t>::min()},
      {"int", BigInt::from_decimal("-9223372036854775809")},
      {"int", BigInt::from_decimal("1" + std::string(400, '0'))},
      {"float", 0.1},
      {"complex", std::complex<double>(1, -2)},
      {"str", "\u00e4\u20ac\U0001f40d"},
      {"str", std::string("\0x", 2)},
      {"str", std::string(100'000, 'x')},
      {"bytes", bytes_of("\xff\x01")},
      {"bytes", zeros(100'000)},
      {"list", List{1, List{}, Tuple{}, Dict{}, Set{}}},
      {"tuple", Tuple{1, 2, 3, 4}},
      {"dict", Dict{{1, 2}, {"a", List{nullptr}}, {Tuple{1}, FrozenSet{3}}}},
      {"set", Set{1, "x", FrozenSet{2}}},
      {"frozenset", FrozenSet{1, Tuple{2}}},
  };
  for (const auto& [type, value] : all) {
    echo.send(value);
    const auto [told, back] = take<std::pair<std::string, Value>>(echo);
    EXPECT_THAT(told, HasSubstr("'" + type + "'"));
    EXPECT_EQ(back, value);
    EXPECT_EQ(back.kind(), value.kind());
  }
  Channel bad = gateway.remote_exec(R"(
        import collections
        class Plain: pass
        class Text(str): pass
        deep = []
        for i in range(3000): deep = [deep]
        wrong = []
        for item in (int, Plain, Plain(), len, Text(), collections.OrderedDict(), "\ud800", object(), deep):
            for shape in (item, [item], {1: (item,)}):
                try:
                    channel.send(shape)
                    wrong.append("sent %r" % type(item))
                except Exception as error:
                    if type(error).__name__ != "DumpError" or "can't serialize" not in str(error):
                        wrong.append("%r: %r" % (type(item), error))
        channel.send(wrong)
      )");
  EXPECT_EQ(take(bad), (List{}));
}

TEST_P(Core, channels_keep_order_and_travel) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        other = channel.receive()
        mine = channel.gateway.newchannel()
        channel.send((other, mine))
        channel.send(channel.receive() is mine)
        for item in other: mine.send(item)
        mine.close("done")
        try:
            channel.receive(0.01)
        except channel.TimeoutError:
            channel.send("timeout")
        try:
            channel.close()
        except OSError as error:
            channel.send(str(error))
      )");
  Channel other = gateway.newchannel();
  channel.send(other);
  const Value both = take(channel);
  EXPECT_EQ(value_to<Channel>(both.as_tuple().at(0)), other);
  Channel mine = value_to<Channel>(both.as_tuple().at(1));
  channel.send(mine);
  EXPECT_EQ(take(channel), true);
  for (int i = 0; i < 3000; ++i) other.send(i);
  for (int i = 0; i < 3000; ++i) ASSERT_EQ(take<int>(mine), i);
  other.close();
  EXPECT_EQ(remote_error(mine), "done");
  EXPECT_EQ(take(channel), "timeout");
  EXPECT_THAT(take<std::string>(channel), HasSubstr("explicit"));
  channel.waitclose(patience);
}

TEST_P(Core, tasks_run_at_the_same_time_the_first_in_the_main_thread) {
  constexpr auto where = R"(
        import threading
        channel.send(threading.current_thread() is threading.main_thread())
        channel.send(channel.receive() + 1)
      )";
  Gateway gateway = start();
  std::vector<Channel> channels;
  for (int i = 0; i < 4; ++i) {
    channels.push_back(gateway.remote_exec(where));
    EXPECT_EQ(take(channels.back()), i == 0);
  }
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 4);
  (void)gateway.ping(patience);
  for (Channel& channel : channels) channel.send(1);
  for (Channel& channel : channels) EXPECT_EQ(take<int>(channel), 2);
}

TEST_P(Core, main_thread_only) {
  Gateway gateway = start("execmodel=main_thread_only");
  EXPECT_THAT(remote_error(gateway.remote_exec("1/0")), HasSubstr("ZeroDivisionError"));
  Channel busy = gateway.remote_exec("channel.receive()");
  EXPECT_THAT(remote_error(gateway.remote_exec("pass")), HasSubstr("concurrent remote_exec"));
  busy.send(nullptr);
  busy.waitclose(patience);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_P(Core, windows_and_large_items) {
  Channel channel = start("window=64K").remote_exec("for item in channel: channel.send(item)");
  for (const std::size_t size : {10u, 65'504u, 65'536u, 5'000'000u}) {
    const Bytes data = zeros(size);
    channel.send(data);
    EXPECT_TRUE(take(channel).as_bytes() == data);
  }
  for (int i = 0; i < 500; ++i) channel.send(std::string(100, 'x'));
  for (int i = 0; i < 500; ++i) EXPECT_EQ(take<std::string>(channel), std::string(100, 'x'));
}

TEST_P(Core, spec_keys_and_stdio) {
  const TemporaryDirectory directory;
  Gateway gateway = start("env:NAME=value//chdir=" + directory.path() + "//nice=1//dont_write_bytecode");
  EXPECT_EQ(ask(gateway, R"(
        import os, subprocess, sys
        print("printed")
        sys.stdout.flush()
        os.write(1, b"raw")
        os.system("echo system")
        channel.send((os.environ["NAME"], os.getcwd(), sys.dont_write_bytecode, sys.stdin.read(), os.read(0, 1)))
      )"),
            (Tuple{"value", directory.path(), true, "", Bytes()}));
}

TEST_P(Core, ends_politely_by_force_and_by_itself) {
  Gateway polite = start();
  Channel waiting = polite.remote_exec("channel.send(1)\nchannel.receive()");
  EXPECT_EQ(take<int>(waiting), 1);
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  EXPECT_EQ(polite.death().exit_status, 0);
  EXPECT_EQ(polite.death().stderr_tail, "");

  EXPECT_THAT(lost(start().remote_exec("import os; os._exit(3)")).what(), HasSubstr("exit status 3"));
  EXPECT_THAT(lost(start().remote_exec("import os; os.abort()")).what(), HasSubstr("signal 6"));

  Channel stubborn = start().remote_exec("import time\nchannel.send(1)\nwhile 1: time.sleep(1)");
  EXPECT_EQ(take<int>(stubborn), 1);
  EXPECT_EQ(group().terminate(100ms).killed.size(), 1u);
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

// The end of the stream without a TERMINATE, and nobody there to kill.
TEST_P(Core, stopped_agent_can_be_killed) {
  Gateway gateway = start();
  ::kill(static_cast<pid_t>(gateway.info().pid), SIGSTOP);
  EXPECT_EQ(group().terminate(100ms).killed.size(), 1u);
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

}  // namespace
}  // namespace gangway::test
