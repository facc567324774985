// Chains of mixed kinds: what starts the agent behind a hop is a program there.
#include <gmock/gmock.h>

#include <signal.h>
#include <unistd.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sshd.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ViaKinds : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    (void)group().makegateway("popen//id=hub//python=/usr/bin/python3");
  }
  [[nodiscard]] std::string failure(const std::string& spec) { return start_error(group(), spec).what(); }
  static void check(Gateway gateway) {
    Channel channel = gateway.remote_exec("for item in channel: channel.send(len(item))");
    for (const std::size_t size : {std::size_t{1}, std::size_t{3'000'000}}) {
      channel.send(zeros(size));
      EXPECT_EQ(take<std::size_t>(channel), size);
    }
  }
};

TEST_F(ViaKinds, a_command_behind_a_command) {
  (void)group().makegateway("command=env STEP=1//via=hub//id=a//python=/usr/bin/python3");
  Gateway last = group().makegateway("command=env LAST=2//via=a//id=b//python=/usr/bin/python3");
  EXPECT_EQ(ask<std::string>(last, "import os; channel.send(os.environ['STEP'] + os.environ['LAST'])"), "12");
  check(last);
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
}

TEST_F(ViaKinds, sudo_at_the_hop) {
  if (::geteuid() != 0 || ::access("/usr/bin/sudo", X_OK) != 0) GTEST_SKIP() << "needs root and sudo";
  Gateway other = group().makegateway("sudo=daemon//via=hub//python=/usr/bin/python3");
  EXPECT_EQ(ask<std::string>(other, "import os, pwd; channel.send(pwd.getpwuid(os.getuid()).pw_name)"), "daemon");
  check(other);
}

TEST_F(ViaKinds, ssh_by_the_hops_client) {
  if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  Sshd sshd;
  Gateway there = group().makegateway(sshd.spec("via=hub//id=there"));
  check(there);
  Gateway behind = group().makegateway("popen//via=there//id=behind");
  check(behind);
  EXPECT_EQ(ask<int>(behind, "import os; channel.send('SSH_CONNECTION' in os.environ and 1 or 0)"), 1);
  const TerminateReport report = group().terminate(10s);
  EXPECT_THAT(report.killed, IsEmpty());
  EXPECT_THAT(report.survivors, IsEmpty());
}

TEST_F(ViaKinds, refusals_of_ssh_name_the_hop) {
  if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  Sshd sshd;
  sshd.change_host_key();
  EXPECT_THAT(failure(sshd.spec("via=hub//id=there")),
              AllOf(StartsWith("gateway there: "), HasSubstr("hop hub"), HasSubstr("the host key has changed")));
}

TEST_F(ViaKinds, the_death_of_a_hops_ssh_client_ends_the_chain_behind_it) {
  if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  Sshd sshd;
  (void)group().makegateway(sshd.spec("via=hub//id=there"));
  Gateway behind = group().makegateway("popen//via=there//id=behind");
  const int pid = ask<int>(behind, "import os; channel.send(os.getpid())");
  Channel waiting = behind.remote_exec("channel.receive()");
  int clients = 0;
  for (const Survivor& process : find_survivors(cookie()))
    if (process.command.starts_with("ssh ")) clients += ::kill(process.pid, SIGKILL) == 0 ? 1 : 0;
  EXPECT_EQ(clients, 1);
  EXPECT_THAT(lost(waiting).what(), HasSubstr("gateway behind: lost with its hop: gateway there: "));
  EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }, 15s));
}

// --- links that go silent: sshd is stopped, as behind a cable that was pulled. G2

TEST_F(ViaKinds, a_dead_link_of_a_hop_fails_all_behind_it) {
  if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  Sshd sshd;
  (void)group().makegateway(sshd.spec("ssh_client=openssh//keepalive=1//id=there"));
  Gateway first = group().makegateway("popen//via=there//id=first");
  Gateway second = group().makegateway("popen//via=first//id=second");
  std::vector<Channel> waiting{first.remote_exec("channel.receive()"), second.remote_exec("channel.receive()")};
  for (const pid_t pid : sshd.connections()) ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  EXPECT_THAT(lost(waiting[0]).what(), StartsWith("gateway first: lost with its hop: gateway there: "));
  EXPECT_THAT(lost(waiting[1]).what(),
              StartsWith("gateway second: lost with its hop: gateway first: lost with its hop: gateway there: "));
  for (const pid_t pid : sshd.connections()) ::kill(pid, SIGCONT);
}

TEST_F(ViaKinds, a_dead_link_behind_a_hop_leaves_the_hop_and_names_what_failed) {
  if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  Sshd sshd;
  (void)group().makegateway(sshd.spec("via=hub//keepalive=1//id=there"));
  Gateway behind = group().makegateway("popen//via=there//id=behind");
  Channel waiting = behind.remote_exec("channel.receive()");
  for (const pid_t pid : sshd.connections()) ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  EXPECT_THAT(lost(waiting).what(), AllOf(StartsWith("gateway behind: lost with its hop: gateway there: "),
                                          HasSubstr("exit status 255"), HasSubstr("not responding")));
  EXPECT_EQ(ask<int>(group().at("hub"), "channel.send(1)"), 1);
  for (const pid_t pid : sshd.connections()) ::kill(pid, SIGCONT);
}

TEST_F(ViaKinds, a_gateway_that_does_not_answer_is_not_dead) {
  Gateway nested = group().makegateway("popen//via=hub//keepalive=0.2//id=busy");
  const int pid = ask<int>(nested, "import os; channel.send(os.getpid())");
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  EXPECT_TRUE(eventually([&] { return nested.unresponsive().has_value(); }, 20s));
  EXPECT_TRUE(nested.hasreceiver());
  EXPECT_FALSE(group().at("hub").unresponsive());
  ASSERT_EQ(::kill(pid, SIGCONT), 0);
  EXPECT_TRUE(eventually([&] { return !nested.unresponsive(); }, 20s));
  EXPECT_EQ(ask<int>(nested, "channel.send(1)"), 1);
}

}  // namespace
}  // namespace gangway::test
