// Gateways over ssh, by libssh, to a real sshd.
#include <gmock/gmock.h>

#include <gangway/gangway.hpp>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sshd.hpp"

namespace gangway::test {
namespace {

class Ssh : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    if (const std::string why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_F(Ssh, runs_source_on_the_other_side) {
  Sshd sshd;
  Gateway gateway = group().makegateway(sshd.spec("python=python3"));
  Channel channel = gateway.remote_exec("channel.send(sum(channel.receive()))");
  channel.send(std::vector<int>{1, 2, 3});
  EXPECT_EQ(channel.receive<int>(), 6);
}

}  // namespace
}  // namespace gangway::test
