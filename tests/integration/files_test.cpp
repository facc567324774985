// Channels as files, on both sides: gangway/channel_file.hpp and channel.makefile().
#include <gangway/channel_file.hpp>

#include <gmock/gmock.h>

#include <sstream>

#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using ::testing::HasSubstr;

class Files : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Files, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Files, far_side_writes_items) {
  Channel channel = start().remote_exec(R"(
        file = channel.makefile()
        file.write("text")
        print("printed", file=file)
        file.write(b"bytes")
        file.write([1, 2])
        file.flush()
        file.close()
        channel.send((file.isatty(), repr(file), channel.isclosed()))
      )");
  for (const Value& item : List{"text", "printed", "\n", bytes_of("bytes"), List{1, 2}}) EXPECT_EQ(take(channel), item);
  EXPECT_EQ(take(channel), (Tuple{false, "<ChannelFile " + std::to_string(channel.id()) + " open>", false}));
}

TEST_P(Files, far_side_may_print_through_one) {
  Channel channel = start().remote_exec(R"(
        import sys
        before, sys.stdout = sys.stdout, channel.makefile("w")
        print("hello")
        sys.stdout = before
        channel.send("done")
      )");
  EXPECT_EQ(take(channel), "hello");
  EXPECT_EQ(take(channel), "\n");
  EXPECT_EQ(take(channel), "done");
}

TEST_P(Files, far_side_reads_text) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  Channel channel = gateway.remote_exec(R"(
        report = channel.receive()
        file = channel.makefile("r")
        report.send([file.read(3), file.readline(), file.readline(), file.read(2), file.readline(), file.readline(),
                     file.read(5)])
      )");
  channel.send(report);
  for (const char* const item : {"ab", "cd\xc3\xa4\nsec", "ond\n", "x", "yz"}) channel.send(item);
  channel.close();
  EXPECT_EQ(take(report), (List{"abc", "d\xc3\xa4\n", "second\n", "xy", "z", "", ""}));
}

TEST_P(Files, far_side_reads_bytes) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  Channel channel = gateway.remote_exec(R"(
        report = channel.receive()
        file = channel.makefile("r")
        report.send([file.readline(), file.read(100)])
      )");
  channel.send(report);
  channel.send(bytes_of("line\nre"));
  channel.send(bytes_of("st"));
  channel.close();
  EXPECT_EQ(take(report), (List{bytes_of("line\n"), bytes_of("rest")}));
}

TEST_P(Files, far_side_closes_the_channel_with_proxyclose_only) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        other = channel.gateway.newchannel()
        channel.send(other)
        for mode in "w", "r":
            other.makefile(mode).close()
            channel.send(other.isclosed())
        try:
            channel.makefile("w", proxyclose=True).close()
        except OSError as error:
            channel.send(str(error))
        file = other.makefile("w", proxyclose=True)
        file.close()
        channel.send((other.isclosed(), repr(file)))
        try:
            file.write("x")
        except OSError as error:
            channel.send("refused")
        try:
            other.makefile("a")
        except ValueError:
            channel.send("no such mode")
      )");
  Channel other = take<Channel>(channel);
  EXPECT_EQ(take(channel), false);
  EXPECT_EQ(take(channel), false);
  EXPECT_THAT(take<std::string>(channel), HasSubstr("explicit"));
  EXPECT_EQ(take(channel), (Tuple{true, "<ChannelFile " + std::to_string(other.id()) + " closed>"}));
  EXPECT_EQ(take(channel), "refused");
  EXPECT_EQ(take(channel), "no such mode");
  other.waitclose(patience);
  EXPECT_TRUE(other.isclosed());
}

TEST_P(Files, far_side_reading_to_the_end_closes_with_proxyclose) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        other = channel.receive()
        file = other.makefile("r", proxyclose=True)
        channel.send(file.read(100))
        channel.send(other.isclosed())
        failing = channel.receive().makefile("r")
        try:
            failing.read(100)
        except channel.RemoteError as error:
            channel.send(str(error))
      )");
  Channel other = gateway.newchannel();
  channel.send(other);
  other.send("all");
  other.close();
  EXPECT_EQ(take(channel), "all");
  EXPECT_EQ(take(channel), true);
  Channel failing = gateway.newchannel();
  channel.send(failing);
  failing.send("lost");
  failing.close("no more");
  EXPECT_EQ(take(channel), "no more");
}

TEST_P(Files, this_side_reads_what_the_far_side_prints) {
  Channel channel = start().remote_exec(R"(
        file = channel.makefile()
        for i in range(100): print("line", i, file=file)
        file.write("last")
      )");
  ChannelFile file = channel.makefile("r");
  EXPECT_EQ(file.read(4), "line");
  EXPECT_EQ(file.readline(), " 0\n");
  for (int i = 1; i < 100; ++i) EXPECT_EQ(file.readline(), "line " + std::to_string(i) + "\n");
  EXPECT_EQ(file.readline(), "last");
  EXPECT_EQ(file.readline(), "");
  EXPECT_EQ(file.read(1), "");
}

TEST_P(Files, this_side_writes_what_the_far_side_reads) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  Channel channel = gateway.remote_exec(R"(
        report = channel.receive()
        file = channel.makefile("r")
        report.send([line for line in iter(file.readline, "")])
      )");
  channel.send(report);
  ChannelFile file = channel.makefile("w", true);
  file.write("one\ntw");
  file.write("o\n");
  file.flush();
  EXPECT_FALSE(file.isatty());
  file.close();
  EXPECT_TRUE(channel.isclosed()) << "proxyclose";
  EXPECT_EQ(take(report), (List{"one\n", "two\n"}));
  EXPECT_THROW(file.write("more"), ChannelClosed);
  std::ostringstream text;
  text << file;
  EXPECT_EQ(text.str(), "<ChannelFile " + std::to_string(channel.id()) + " closed>");
}

TEST_P(Files, this_side_gets_the_error_of_the_task) {
  Channel channel = start().remote_exec("channel.send('text')\nraise ValueError('failed')");
  ChannelFile file = channel.makefile("r");
  try {
    (void)file.read(100);
    FAIL() << "no error";
  } catch (const RemoteError& error) {
    EXPECT_THAT(error.what(), HasSubstr("ValueError: failed"));
  }
  EXPECT_EQ(file.read(100), "text") << "what was read before stays";
  EXPECT_THROW((void)channel.makefile("rw"), Error);
}

// --- strings

class Strings : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Strings, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Strings, can_arrive_as_bytes_here) {
  Channel channel = start().remote_exec("for item in channel: channel.send(item)");
  const auto back = [&](const Value& item) {
    channel.send(item);
    return take(channel);
  };
  EXPECT_EQ(back("before"), "before");
  channel.reconfigure(true, true);
  EXPECT_EQ(back("\xc3\xa4"), Value(bytes_of("\xc3\xa4")));
  channel.reconfigure(true, true);  // the far side's echo of bytes is bytes: what it has received are bytes
  EXPECT_EQ(back(Dict{{"key", List{"text", 1}}}), (Dict{{bytes_of("key"), List{bytes_of("text"), 1}}}));
  channel.reconfigure();
  EXPECT_EQ(back("after"), "after");
}

TEST_P(Strings, can_be_reconfigured_by_either_side_of_a_channel) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        for item in channel:
            if item == "far":
                channel.reconfigure(py3str_as_py2str=True)
            elif item == b"back":
                channel.reconfigure()
            channel.send((type(item).__name__, "text"))
      )");
  channel.send("here");
  EXPECT_EQ(take(channel), (Tuple{"str", "text"}));
  channel.send("far");  // from its answer on, on both sides
  EXPECT_EQ(take(channel), (Tuple{bytes_of("str"), bytes_of("text")}));
  channel.send("x");
  EXPECT_EQ(take(channel), (Tuple{bytes_of("bytes"), bytes_of("text")}));
  channel.send("back");
  EXPECT_EQ(take(channel), (Tuple{"bytes", "text"}));
  channel.send("y");
  EXPECT_EQ(take(channel), (Tuple{"str", "text"}));
}

TEST_P(Strings, of_other_channels_stay_as_they_are) {
  Gateway gateway = start();
  Channel changed = gateway.remote_exec("channel.send(type(channel.receive()).__name__)");
  Channel other = gateway.remote_exec("channel.send(type(channel.receive()).__name__)");
  changed.reconfigure(true, true);
  changed.send("x");
  other.send("x");
  EXPECT_EQ(take(changed), Value(bytes_of("bytes")));
  EXPECT_EQ(take(other), "str");
}

TEST_P(Strings, of_callbacks_are_decoded_as_configured) {
  Channel channel = start().remote_exec(R"(
        channel.reconfigure(py3str_as_py2str=True)
        channel.setcallback(lambda item: channel.send(type(item).__name__))
        channel.send("set")
        channel.waitclose()
      )");
  EXPECT_EQ(take(channel), Value(bytes_of("set")));
  channel.send("x");
  EXPECT_EQ(take(channel), Value(bytes_of("bytes")));
}

TEST_P(Strings, of_a_gateway_count_for_channels_that_either_side_opens_afterwards) {
  Gateway gateway = start();
  gateway.reconfigure(true, true);
  Channel channel = gateway.remote_exec(R"(
        other = channel.gateway.newchannel()
        channel.send(other)
        channel.send(type(other.receive()).__name__)
        other.send("text")
      )");
  Channel other = take<Channel>(channel);
  other.send("text");
  EXPECT_EQ(take(channel), Value(bytes_of("bytes")));
  EXPECT_EQ(take(other), Value(bytes_of("text")));
}

}  // namespace
}  // namespace gangway::test
