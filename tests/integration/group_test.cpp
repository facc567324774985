// Groups: membership, ids, starting several at once.
#include <gmock/gmock.h>

#include <set>
#include <sstream>
#include <thread>

#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using ::testing::HasSubstr;

class Groups : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Groups, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Groups, keep_members_in_order_until_they_exit) {
  EXPECT_TRUE(group().empty());
  Gateway first = start();
  Gateway second = start("id=named");
  Gateway third = start();
  EXPECT_EQ(first.id(), "gw0");
  EXPECT_EQ(third.id(), "gw1");
  EXPECT_EQ(group().gateways(), (std::vector{first, second, third}));
  EXPECT_EQ(group().at("named"), second);
  EXPECT_EQ(group().at(2), third);
  EXPECT_TRUE(group().contains("gw1"));
  EXPECT_FALSE(group().contains("gw2"));
  EXPECT_THROW((void)group().at("gw2"), Error);
  EXPECT_THROW((void)group().at(3), Error);

  second.exit();
  EXPECT_EQ(group().gateways(), (std::vector{first, third}));
  EXPECT_EQ(start().id(), "gw2") << "numbers are not used again";
}

TEST_P(Groups, an_id_in_use_is_refused_before_anything_starts) {
  Gateway gateway = start("id=mine");
  const std::size_t before = find_survivors(cookie()).size();
  EXPECT_THROW((void)start("id=mine"), Error);
  EXPECT_EQ(find_survivors(cookie()).size(), before);
  EXPECT_EQ(group().size(), 1u);
  gateway.exit();
  EXPECT_EQ(start("id=mine").id(), "mine") << "free again";
}

TEST_P(Groups, ids_can_be_allocated_first) {
  XSpec first(spec());
  XSpec second(spec());
  XSpec named(spec("id=x"));
  group().allocate_id(second);
  group().allocate_id(first);
  group().allocate_id(named);
  EXPECT_EQ(second.id(), "gw0");
  EXPECT_EQ(first.id(), "gw1");
  EXPECT_EQ(named.id(), "x");
  EXPECT_EQ(group().makegateway(first).id(), "gw1");
  EXPECT_EQ(start().id(), "gw2");
}

TEST_P(Groups, a_generated_id_that_is_taken_is_an_error) {
  (void)start("id=gw0");
  EXPECT_THROW((void)start(), Error);
  EXPECT_EQ(start().id(), "gw1");
}

TEST_P(Groups, several_start_at_once) {
  const std::vector<Gateway> all = group().makegateways(std::vector<std::string>(20, spec()));
  EXPECT_EQ(group().gateways(), all);
  std::set<std::int64_t> pids;
  for (const Gateway& gateway : all) pids.insert(gateway.info().pid);
  EXPECT_EQ(pids.size(), 20u);
  EXPECT_EQ(all.at(19).id(), "gw19");
}

TEST_P(Groups, one_that_fails_ends_the_others) {
  try {
    (void)group().makegateways({spec(), spec(), "popen//python=/no/such/python", spec()});
    FAIL() << "started";
  } catch (const StartError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/no/such/python"));
  }
  EXPECT_TRUE(group().empty());
  try {
    (void)group().makegateways({spec(), "popen//python=/bin/false", spec()});
    FAIL() << "started";
  } catch (const StartError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/bin/false"));
  }
  EXPECT_TRUE(group().empty());
  EXPECT_TRUE(wait_for_no_survivors(cookie()));
}

TEST_P(Groups, several_threads_start_gateways) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([this] { EXPECT_EQ(ask<int>(start(), "channel.send(1)"), 1); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(group().size(), 8u);
  std::set<std::string> ids;
  for (const Gateway& gateway : group().gateways()) ids.insert(gateway.id());
  EXPECT_EQ(ids.size(), 8u);
}

TEST_P(Groups, a_failed_start_leaves_no_member) {
  EXPECT_THROW((void)group().makegateway("popen//python=/bin/false"), StartError);
  EXPECT_TRUE(group().empty());
  EXPECT_EQ(start().id(), "gw1") << "it used a number";
}

TEST_P(Groups, two_groups_are_independent) {
  Group other;
  Gateway here = start();
  Gateway there = other.makegateway(spec());
  EXPECT_EQ(here.id(), there.id());
  EXPECT_FALSE(here == there);
  (void)other.terminate(5s);
  EXPECT_EQ(ask<int>(here, "channel.send(1)"), 1);
}

TEST_P(Groups, an_empty_spec_is_the_default_spec) {
  EXPECT_EQ(group().defaultspec(), "popen");
  group().set_defaultspec(spec("id=usual"));
  EXPECT_EQ(group().makegateway().id(), "usual");
  EXPECT_THROW(group().set_defaultspec("a=1//a=2"), SpecError);
  EXPECT_EQ(group().defaultspec(), spec("id=usual"));
  group().set_defaultspec(spec());
  EXPECT_EQ(group().makegateways({"", spec("id=other"), ""}).size(), 3u);
  EXPECT_EQ(group().size(), 4u);
}

TEST_P(Groups, execution_model_is_filled_in_and_fixed_once_there_are_members) {
  EXPECT_EQ(group().execmodel(), ExecModel::thread);
  EXPECT_THROW(group().set_execmodel("threads"), SpecError);
  EXPECT_THROW(group().set_execmodel("thread", "fibers"), SpecError);
  EXPECT_EQ(group().remote_execmodel(), ExecModel::thread);
  group().set_execmodel("main_thread_only");
  EXPECT_EQ(group().execmodel(), ExecModel::main_thread_only);
  EXPECT_EQ(group().remote_execmodel(), ExecModel::main_thread_only);
  group().set_execmodel("thread", "main_thread_only");
  EXPECT_EQ(group().execmodel(), ExecModel::thread);
  Gateway gateway = start();
  EXPECT_EQ(gateway.spec().execmodel(), ExecModel::main_thread_only);
  EXPECT_EQ(gateway.spec().text(), spec()) << "the text stays what was given";
  EXPECT_EQ(gateway.remote_status(patience).execmodel, "main_thread_only");
  EXPECT_EQ(start("execmodel=thread").remote_status(patience).execmodel, "thread") << "its own counts for more";
  EXPECT_THROW(group().set_execmodel("thread"), Error);
  EXPECT_EQ(group().remote_execmodel(), ExecModel::main_thread_only);
  (void)group().terminate(5s);
  group().set_execmodel("thread");
}

TEST_P(Groups, know_their_members_and_print_them) {
  const auto text = [&] {
    std::ostringstream out;
    out << group();
    return out.str();
  };
  EXPECT_EQ(text(), "<Group []>");
  Gateway first = start();
  Gateway second = start("id=b");
  EXPECT_EQ(text(), "<Group ['gw0', 'b']>");
  EXPECT_TRUE(group().contains("b"));
  EXPECT_TRUE(group().contains(second));
  EXPECT_FALSE(group().contains("a"));
  EXPECT_FALSE(group().contains(Gateway()));
  second.exit();
  EXPECT_FALSE(group().contains("b"));
  EXPECT_FALSE(group().contains(second));
}

TEST_P(Groups, can_be_made_of_specs) {
  Group three({spec(), spec("id=x"), spec()}, "main_thread_only");
  EXPECT_EQ(three.size(), 3u);
  EXPECT_EQ(three.at(1).id(), "x");
  EXPECT_EQ(three.at(0).spec().execmodel(), ExecModel::main_thread_only);
  EXPECT_THROW(Group({spec(), "popen//python=/bin/false"}), StartError);
  EXPECT_THROW(Group({}, "none"), SpecError);
}

TEST_P(Groups, empty_group_terminates_at_once) {
  const TerminateReport report = group().terminate();
  EXPECT_TRUE(report.killed.empty());
  EXPECT_TRUE(report.survivors.empty());
}

// The one of the program lives as long as the program.
class DefaultGroup : public ::testing::TestWithParam<Agent> {};
INSTANTIATE_TEST_SUITE_P(, DefaultGroup, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(DefaultGroup, makes_gateways) {
  if (!GetParam().missing.empty()) GTEST_SKIP() << GetParam().missing;
  Gateway gateway = makegateway(GetParam().spec + "//id=of-default");
  EXPECT_EQ(default_group().at("of-default"), gateway);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  (void)default_group().terminate(5s);
  EXPECT_TRUE(default_group().empty());
}

TEST_P(Groups, assigned_keys_travel_to_gateways_that_start_together) {
  std::vector<XSpec> specs{XSpec(spec()), XSpec(spec("env:A=1"))};
  specs[0].set_env("A", "x//y/");
  specs[1].unset_env("A");
  const auto gateways = group().makegateways(specs);
  constexpr auto source = "import os; channel.send(os.environ.get('A', 'nothing'))";
  EXPECT_EQ(ask<std::string>(gateways.at(0), source), "x//y/");
  EXPECT_EQ(ask<std::string>(gateways.at(1), source), "nothing");
  EXPECT_EQ(specs[0].id(), std::nullopt) << "they are copies that get an id";
}

class NativeAgents : public GroupTest {};

TEST_F(NativeAgents, are_the_ones_that_the_group_was_given) {
  NativeAgent agent = extension_agent();
  if (agent.command.empty()) GTEST_SKIP() << "no extension module that this interpreter can load";
  agent.sys_path = {bytes_of("/one"), bytes_of("/usr/lib/python3"), bytes_of("/no\xffutf8")};
  group().set_native_agent(agent);
  Gateway gateway = group().makegateway("popen//dont_write_bytecode");
  EXPECT_EQ(gateway.info().agent, "native");
  EXPECT_EQ(ask<std::string>(gateway, "channel.send(open('/proc/self/cmdline').read().split('\\0')[0])"),
            agent.command[0]);
  EXPECT_EQ(ask<bool>(gateway, "import sys; channel.send(sys.dont_write_bytecode)"), true);
  EXPECT_EQ(ask(gateway, "import sys; channel.send(len(sys.path))"), Value(3));
  EXPECT_EQ(ask<std::string>(gateway, "import sys; channel.send(ascii(sys.path[2]))"), "'/no\\udcffutf8'");

  group().set_native_agent({});
  EXPECT_NE(ask<std::string>(group().makegateway(), "import sys; channel.send(sys.path[0])"), "/one");
}

TEST_F(NativeAgents, that_cannot_be_loaded_are_reported) {
  NativeAgent agent = extension_agent();
  if (agent.command.empty()) GTEST_SKIP() << "no extension module that this interpreter can load";
  std::string& code = agent.command.back();
  code.replace(code.find("_agent."), 7, "_nobody.");
  group().set_native_agent(agent);
  try {
    (void)group().makegateway();
    FAIL() << "there is no such module";
  } catch (const StartError& error) {
    EXPECT_THAT(error.what(), HasSubstr("_nobody."));
    EXPECT_THAT(error.what(), HasSubstr("ImportError"));
  }
}

}  // namespace
}  // namespace gangway::test
