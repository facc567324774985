// Group::remote_exec and MultiChannel over several gateways.
#include <gmock/gmock.h>

#include <set>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::HasSubstr;

class Members : public AgentTest {
 protected:
  void start_three() { (void)group().makegateways({spec(), spec("id=b"), spec()}); }
};
INSTANTIATE_TEST_SUITE_P(, Members, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Members, run_the_same_source_in_order) {
  start_three();
  MultiChannel all = group().remote_exec("channel.send(channel.gateway.id)\nchannel.send(channel.receive() + 1)");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.receive_each(), (List{"gw0-worker", "b-worker", "gw1-worker"}));
  all.send_each(41);
  for (const auto& [channel, item] : all.receive_each_with_channel()) {
    EXPECT_TRUE(all.contains(channel));
    EXPECT_EQ(item, 42);
  }
  all.waitclose();
}

TEST_P(Members, run_a_function_with_keyword_arguments) {
  start_three();
  const auto source = Source::of_function("def work(channel, x, y): channel.send(x * y)", "work");
  EXPECT_EQ(group().remote_exec(source, {{"x", 6}, {"y", 7}}).receive_each(), (List{42, 42, 42}));
  EXPECT_THROW((void)group().remote_exec({"pass", {}, {}}, {{"x", 6}}), Error) << "no function to give them to";
}

TEST_P(Members, of_an_empty_group_are_none) {
  MultiChannel none = group().remote_exec("pass");
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(none.receive_each().empty());
  none.waitclose();
}

TEST_P(Members, that_have_exited_run_nothing) {
  start_three();
  group().at("b").exit();
  EXPECT_EQ(group().remote_exec("channel.send(channel.gateway.id)").receive_each(), (List{"gw0-worker", "gw1-worker"}));
}

TEST_P(Members, that_are_lost_fail_it_and_the_tasks_of_the_others_end) {
  start_three();
  Gateway first = group().at(0);
  group().at("b").kill();
  EXPECT_TRUE(group().at("b").join(patience));
  EXPECT_THROW((void)group().remote_exec("channel.receive()"), ConnectionLost);
  EXPECT_TRUE(eventually([&] { return first.remote_status(patience).numexecuting == 0; }));
}

TEST_P(Members, waitclose_waits_for_all_and_throws_the_first_error) {
  start_three();
  MultiChannel all = group().remote_exec(R"(
        channel.receive()
        if channel.gateway.id != "gw0-worker":
            raise ValueError("I am " + channel.gateway.id)
      )");
  all.send_each(nullptr);
  try {
    all.waitclose();
    FAIL() << "no error";
  } catch (const RemoteError& error) {
    EXPECT_THAT(error.what(), HasSubstr("I am b-worker"));
  }
  for (const Channel& channel : all) EXPECT_TRUE(channel.isclosed());
}

TEST_P(Members, a_lost_member_is_thrown_by_receive_each) {
  start_three();
  MultiChannel all = group().remote_exec(R"(
        if channel.gateway.id == "b-worker":
            import os; os._exit(3)
        channel.send(1)
      )");
  EXPECT_THROW((void)all.receive_each(), ConnectionLost);
}

TEST_P(Members, receive_queue_has_everything_of_all_in_order_of_each) {
  start_three();
  MultiChannel all = group().remote_exec(R"(
        for i in range(300): channel.send((channel.gateway.id, i))
        if channel.gateway.id == "b-worker":
            raise ValueError("b")
      )");
  ReceiveQueue queue = all.make_receive_queue(nullptr);
  std::map<std::string, int> next;
  int ends = 0;
  for (;;) {
    try {
      const auto [channel, item] = queue.get(patience);
      ASSERT_TRUE(all.contains(channel));
      if (item == nullptr) {
        ++ends;
        continue;
      }
      const auto [id, i] = value_to<std::pair<std::string, int>>(item);
      ASSERT_EQ(i, next[id]++);
    } catch (const EndOfChannel&) {
      break;
    }
  }
  EXPECT_EQ(ends, 3);
  EXPECT_EQ(next, (std::map<std::string, int>{{"gw0-worker", 300}, {"b-worker", 300}, {"gw1-worker", 300}}));
  EXPECT_THROW(all.waitclose(), RemoteError);
  EXPECT_THROW((void)all.receive_each(), Error) << "there is a queue";
}

TEST_P(Members, receive_queue_gives_what_is_there_while_a_member_is_silent) {
  start_three();
  MultiChannel all = group().remote_exec(R"(
        if channel.gateway.id == "gw0-worker":
            channel.receive()
        channel.send(channel.gateway.id)
      )");
  ReceiveQueue queue = all.make_receive_queue();
  std::set<std::string> told;
  for (int i = 0; i < 2; ++i) told.insert(value_to<std::string>(queue.get(patience).second));
  EXPECT_EQ(told, (std::set<std::string>{"b-worker", "gw1-worker"}));
  EXPECT_THROW((void)queue.get(20ms), TimeoutError);
  Channel first = all[0];
  first.send(nullptr);
  EXPECT_EQ(queue.get(patience), std::pair(first, Value("gw0-worker")));
  EXPECT_THROW((void)queue.get(patience), EndOfChannel);
}

TEST_P(Members, receive_queue_ends_when_members_are_killed) {
  start_three();
  MultiChannel all = group().remote_exec("channel.send(1)\nchannel.receive()");
  ReceiveQueue queue = all.make_receive_queue("end");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.get(patience).second, 1);
  for (Gateway& gateway : group().gateways()) gateway.kill();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.get(patience).second, "end");
  EXPECT_THROW((void)queue.get(patience), EndOfChannel);
  EXPECT_THROW(all.waitclose(), ConnectionLost);
}

TEST_P(Members, receive_queue_that_nobody_reads_holds_up_the_senders) {
  (void)group().makegateways({spec("window=64K"), spec("window=64K")});
  MultiChannel all = group().remote_exec("for i in range(100): channel.send(bytes(10000))\nchannel.send('all')");
  ReceiveQueue queue = all.make_receive_queue();
  EXPECT_TRUE(eventually([&] { return queue.size() >= 12; }));
  EXPECT_FALSE(eventually([&] { return queue.size() > 14; }, 100ms)) << "two windows";
  int items = 0;
  for (int ends = 0; ends < 2; ++items) ends += queue.get(patience).second == "all";
  EXPECT_EQ(items, 202);
}

}  // namespace
}  // namespace gangway::test
