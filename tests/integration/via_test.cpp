// via: gateways through gateways.
#include <gmock/gmock.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::HasSubstr;

/// The hop is of each kind of agent.
class Via : public AgentTest {
 protected:
  [[nodiscard]] Gateway hub() { return start("id=hub"); }
  [[nodiscard]] Gateway through(std::string_view hop, std::string_view more = {}) {
    return group().makegateway("popen//via=" + std::string(hop) + (more.empty() ? "" : "//" + std::string(more)));
  }
};
INSTANTIATE_TEST_SUITE_P(, Via, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Via, a_gateway_works_through_another) {
  (void)hub();
  Gateway nested = through("hub");
  EXPECT_EQ(ask<int>(nested, "channel.send(6 * 7)"), 42);
}

}  // namespace
}  // namespace gangway::test
