// Rows B4 to B6: the controller dies, and takes everything with it. G5
#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class ControllerDeath : public FaultTest {
 protected:
  void kill_and_expect_nothing(ControllerProcess& controller) {
    controller.signal(SIGKILL);
    ASSERT_TRUE(controller.wait());
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
  }
};
INSTANTIATE_TEST_SUITE_P(, ControllerDeath, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(ControllerDeath, B4_killed_with_fifty_gateways) {
  ControllerProcess controller("hold", spec(), 50);
  EXPECT_THAT(controller.ready(), ::testing::SizeIs(50));
  kill_and_expect_nothing(controller);
}

TEST_P(ControllerDeath, B5_killed_while_the_agents_are_stopped) {
  ControllerProcess controller("hold", spec(), 10);
  for (const pid_t worker : controller.ready()) ASSERT_EQ(::kill(worker, SIGSTOP), 0);
  kill_and_expect_nothing(controller);
}

TEST_P(ControllerDeath, B5_killed_while_c_calls_hold_the_gil) {
  ControllerProcess controller("gil", spec(), 10);
  (void)controller.ready();
  kill_and_expect_nothing(controller);
}

// Two dead for the price of one: the agent ends although its keeper cannot help it.
TEST_P(ControllerDeath, B5_killed_together_with_the_keepers) {
  ControllerProcess controller("hold", spec(), 5);
  std::vector<pid_t> keepers;
  for (const pid_t worker : controller.ready()) keepers.push_back(ProcStat::of(worker).parent);
  controller.signal(SIGKILL);
  for (const pid_t keeper : keepers) ::kill(keeper, SIGKILL);
  ASSERT_TRUE(controller.wait());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
}

// Gateways through gateways: chains, and a tree.

TEST_P(ControllerDeath, B4_killed_with_a_chain) {
  ControllerProcess controller("children", spec(), 4, 1);
  EXPECT_THAT(controller.ready(), ::testing::SizeIs(4));
  kill_and_expect_nothing(controller);
}

TEST_P(ControllerDeath, B4_killed_with_a_tree_under_load) {
  ControllerProcess controller("flood", spec(), 20, 4);
  EXPECT_THAT(controller.ready(), ::testing::SizeIs(20));
  kill_and_expect_nothing(controller);
}

TEST_P(ControllerDeath, B5_killed_while_all_of_a_chain_is_stopped) {
  ControllerProcess controller("hold", spec(), 4, 1);
  const auto workers = controller.ready();
  for (auto worker = workers.rbegin(); worker != workers.rend(); ++worker) ASSERT_EQ(::kill(*worker, SIGSTOP), 0);
  kill_and_expect_nothing(controller);
}

TEST_P(ControllerDeath, B5_killed_while_a_chain_ignores_signals) {
  ControllerProcess controller("ignore", spec(), 3, 1);
  (void)controller.ready();
  kill_and_expect_nothing(controller);
}

TEST_P(ControllerDeath, B7_killed_together_with_a_middle_hop) {
  ControllerProcess controller("hold", spec(), 4, 1);
  const auto workers = controller.ready();
  ASSERT_EQ(::kill(workers[1], SIGKILL), 0);
  kill_and_expect_nothing(controller);
}

struct End {
  const char* mode;
  std::optional<int> code;
  std::optional<int> signal;
};

TEST_P(ControllerDeath, B6_every_way_to_end_keeps_its_status_and_leaves_nobody) {
  for (const End& end : {End{"return", 5, {}}, End{"default", 5, {}}, End{"exit", 7, {}}, End{"quick_exit", 8, {}},
                         End{"abort", {}, SIGABRT}, End{"throw", {}, SIGABRT}}) {
    SCOPED_TRACE(end.mode);
    ControllerProcess controller(end.mode, spec(), 2);
    (void)controller.ready();
    const auto status = controller.wait();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, end.code);
    EXPECT_EQ(status->signal, end.signal);
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
  }
}

TEST_P(ControllerDeath, B6_signals_end_it_as_any_program) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    SCOPED_TRACE(number);
    ControllerProcess controller("hold", spec(), 2);
    (void)controller.ready();
    controller.signal(number);
    const auto status = controller.wait();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->signal, number);
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
  }
}

}  // namespace
}  // namespace gangway::test
