// Channels as files, iteration, try_send, string options, and the state sendonly.
#include <gangway/channel_file.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/connected.hpp"
#include "tests/support/poll.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;

class ChannelFiles : public ConnectedTest {
 protected:
  void SetUp() override {
    ConnectedTest::SetUp();
    connect();
    std::tie(here, there) = channel();
  }
  void TearDown() override {
    here = there = {};
    ConnectedTest::TearDown();
  }
  Channel here, there;
};

TEST_F(ChannelFiles, each_write_is_an_item) {
  ChannelFile file = here.makefile();
  file.write("one\n");
  file.write(2);
  file.flush();
  EXPECT_EQ(there.receive<std::string>(patience), "one\n");
  EXPECT_EQ(there.receive<int>(patience), 2);
  EXPECT_FALSE(file.isatty());
  std::ostringstream shown;
  shown << file;
  EXPECT_EQ(shown.str(), "<ChannelFile 1 open>");
  file.close();
  EXPECT_FALSE(here.isclosed());
  here.close();
  EXPECT_EQ(failure_of([&] { file.write("x"); }).code, errc::channel_closed);
}

TEST_F(ChannelFiles, reads_characters_and_lines_across_items) {
  for (const char* text : {"ab\xc3\xa4", "\xe2\x82\xac", "c\nline", " two\n\n", "last"}) there.send(text);
  there.close();
  ChannelFile file = here.makefile("r", true);
  EXPECT_EQ(file.read(0), "");
  EXPECT_EQ(file.read(4), "ab\xc3\xa4\xe2\x82\xac");
  EXPECT_EQ(file.readline(), "c\n");
  EXPECT_EQ(file.readline(), "line two\n");
  EXPECT_EQ(file.readline(), "\n");
  EXPECT_EQ(file.read(100), "last");
  EXPECT_EQ(file.read(1), "");
  EXPECT_EQ(file.readline(), "");
}

TEST_F(ChannelFiles, reads_bytes_and_refuses_a_mixture) {
  there.send(bytes_of("\xff\xc3"));
  there.send(bytes_of("\xa4\n"));
  there.send("text");
  ChannelFile file = here.makefile("r");
  EXPECT_EQ(file.read(3), "\xff\xc3\xa4");
  EXPECT_EQ(failure_of([&] { (void)file.read(2); }).code, errc::bad_cast);
  EXPECT_EQ(file.read(1), "\n");
  there.send(1);
  EXPECT_EQ(failure_of([&] { (void)file.readline(); }).code, errc::bad_cast);
}

TEST_F(ChannelFiles, reading_to_the_end_closes_with_proxyclose_and_errors_come_through) {
  ChannelFile file = here.makefile("r", true);
  there.send("part");
  there.close("broke");
  EXPECT_EQ(failure_of([&] { (void)file.readline(); }).text, "broke");
  EXPECT_EQ(file.readline(), "part");
  auto [other, other_there] = channel();
  other_there.setcallback([](const Value&) {});
  other_there = {};  // other is sendonly
  EXPECT_EQ(other.makefile("r", true).readline(), "");
  EXPECT_TRUE(other.isclosed());
}

TEST_F(ChannelFiles, wrong_modes_are_refused) {
  EXPECT_EQ(failure_of([&] { (void)here.makefile("rw"); }).code, errc::bad_argument);
  EXPECT_EQ(failure_of([&] { (void)here.makefile(""); }).code, errc::bad_argument);
  EXPECT_EQ(failure_of([&] { (void)here.makefile("w").read(1); }).code, errc::bad_argument);
  EXPECT_EQ(failure_of([&] { here.makefile("r").write("x"); }).code, errc::bad_argument);
}

TEST_F(ChannelFiles, iteration_ends_at_the_end_and_throws_errors) {
  for (int i = 0; i < 3; ++i) there.send(i);
  there.close();
  std::vector<std::int64_t> seen;
  for (const Value& item : here) seen.push_back(item.as_int());
  EXPECT_THAT(seen, ElementsAre(0, 1, 2));
  auto [failing, failing_there] = channel();
  failing_there.send(7);
  failing_there.close("broke");
  seen.clear();
  EXPECT_EQ(failure_of([&, &failing = failing] {
              for (const Value& item : failing) seen.push_back(item.as_int());
            }).text,
            "broke");
  EXPECT_THAT(seen, ElementsAre(7));
  auto [lost, lost_there] = channel();
  agent->finish({errc::terminated, "gone", {}});
  EXPECT_TRUE(failure_of([&lost = lost] {
                for (const Value& item : lost) (void)item;
              }).is_connection_lost);
}

TEST_F(ChannelFiles, reconfigured_channels_give_bytes_for_text_wherever_it_stands) {
  there.send("before");
  controller->ping(in(patience));
  here.reconfigure(true, true);
  controller->ping(in(patience));
  there.send("after");
  there.send(value_from(List{Value("a"), Value(Dict{{"k", Value(Tuple{Value("b"), Value(1)})}})}));
  EXPECT_EQ(here.receive(patience), Value("before"));
  EXPECT_EQ(here.receive(patience), Value(bytes_of("after")));
  const Value nested = here.receive(patience);
  EXPECT_EQ(nested.as_list()[0], Value(bytes_of("a")));
  here.send("to there");
  EXPECT_EQ(there.receive(patience), Value(bytes_of("to there")));
  here.reconfigure();
  controller->ping(in(patience));
  there.send("again");
  EXPECT_EQ(here.receive(patience), Value("again"));
}

TEST_F(ChannelFiles, channels_opened_after_a_reconfiguration_of_the_connection_have_it) {
  controller->reconfigure({true, true});
  auto [later, later_there] = channel();
  there.send("old");
  later_there.send("new");
  later.send("new");
  EXPECT_EQ(here.receive(patience), Value("old"));
  EXPECT_EQ(later.receive(patience), Value(bytes_of("new")));
  EXPECT_EQ(later_there.receive(patience), Value(bytes_of("new")));
}

TEST_F(ChannelFiles, try_send_sends_what_there_is_room_for_and_never_waits) {
  const Bytes megabyte = pattern(1 << 20);
  int sent = 0;
  for (int tries = 0; tries < 1'000'000 && sent < 15; ++tries) sent += here.try_send(megabyte) ? 1 : 0;
  EXPECT_EQ(sent, 15);
  while (here.try_send(bytes_of(std::string(60'000, 'x')))) ++sent;
  EXPECT_FALSE(here.try_send(megabyte));
  EXPECT_FALSE(here.try_send(Bytes(pattern(limits::window))));
  for (int i = 0; i < sent; ++i) (void)there.receive(patience);
  here.close();
  EXPECT_EQ(failure_of([&] { (void)here.try_send(1); }).code, errc::channel_closed);
}

TEST_F(ChannelFiles, interrupt_tells_whether_the_task_was_over_in_time) {
  EXPECT_TRUE(here.interrupt());
  EXPECT_FALSE(here.interrupt(50ms));
  EXPECT_EQ(agent.owner->interrupts, 2);
  there.close("keyboard-interrupted");
  EXPECT_TRUE(here.interrupt(patience));
  EXPECT_EQ(failure_of([&] { here.waitclose(patience); }).text, "keyboard-interrupted");
  auto [closed, closed_there] = channel();
  closed.close();
  const int before = agent.owner->interrupts;
  EXPECT_FALSE(closed.interrupt(patience));
  EXPECT_TRUE(test::eventually([&] { return agent.owner->interrupts == before + 1; }));
  auto [lost, lost_there] = channel();
  agent->finish({errc::terminated, "gone", {}});
  EXPECT_TRUE(lost.interrupt(patience));
}

}  // namespace
}  // namespace gangway::testing
