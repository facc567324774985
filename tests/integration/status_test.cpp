// What can be asked of a gateway while its tasks are busy, and what it says of itself.
#include <gmock/gmock.h>

#include <sstream>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::MatchesRegex;
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
