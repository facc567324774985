// Gateways over ssh, by libssh, to a real sshd: one connection for all of them.
#include <gmock/gmock.h>

#include <gangway/gangway.hpp>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sshd.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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
  EXPECT_EQ(ask<std::string>(gateway, "import os; channel.send(os.environ['GANGWAY_COOKIE'])"), cookie());
}

TEST_F(Ssh, gateways_share_a_connection) {
  Sshd sshd;
  const auto gateways = group().makegateways(std::vector<std::string>(6, sshd.spec("python=python3")));
  for (const Gateway& gateway : gateways) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 1);
  EXPECT_EQ(sshd.sessions(), 6);
  // Another destination is another connection.
  EXPECT_EQ(ask<int>(group().makegateway("ssh=-C private//python=python3//ssh_config=" + sshd.file("ssh_config")),
                     "channel.send(1)"),
            1);
  EXPECT_EQ(sshd.logins(), 2);
}

TEST_F(Ssh, compress_is_agreed_upon_with_the_server) {
  Sshd sshd({.config = {"LogLevel DEBUG1"}});
  for (const char* const client : {"libssh", "openssh"}) {
    const int before = sshd.logged("compression: zlib@openssh.com");
    const auto works = [&](const std::string& value) {
      return ask<int>(group().makegateway(sshd.spec("python=python3//ssh_client=" + std::string(client) + value)),
                      "channel.send(1)") == 1;
    };
    EXPECT_TRUE(works(""));
    EXPECT_TRUE(works("//compress=off"));
    EXPECT_EQ(sshd.logged("compression: zlib@openssh.com"), before) << client;
    EXPECT_TRUE(works("//compress=9")) << "on a connection of its own";
    EXPECT_EQ(sshd.logged("compression: zlib@openssh.com"), before + 2) << client << ": in both directions";
  }
}

TEST_F(Ssh, compress_of_others_is_an_error_before_anything_starts) {
  for (const char* const spec : {"popen//compress=on", "socket=127.0.0.1:1//compress=off", "unix=/no//compress",
                                 "command=/no/such/program//compress=1", "vagrant_ssh=box//compress=off"})
    try {
      (void)group().makegateway(spec);
      ADD_FAILURE() << "it started: " << spec;
    } catch (const SpecError& problem) {
      EXPECT_THAT(problem.what(), AllOf(HasSubstr("compress= switches ssh's own compression"), HasSubstr("^"))) << spec;
    }
}

TEST_F(Ssh, a_connection_without_gateways_waits_a_moment_for_the_next_one) {
  Sshd sshd;
  for (int round = 0; round < 3; ++round) {
    Gateway gateway = group().makegateway(sshd.spec("python=python3"));
    EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
    gateway.exit();
    EXPECT_TRUE(group().terminate(patience).killed.empty());
  }
  EXPECT_EQ(sshd.logins(), 1);
  EXPECT_TRUE(eventually([&] { return sshd.connections().empty(); }, patience));
}

TEST_F(Ssh, much_data_in_both_directions) {
  Sshd sshd;
  Gateway gateway = group().makegateway(sshd.spec("python=python3"));
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  const Bytes block(std::string(3'000'000, 'x'));
  for (int round = 0; round < 8; ++round) channel.send(block);
  for (int round = 0; round < 8; ++round) EXPECT_EQ(take(channel).as_bytes().size(), block.size());
}

TEST_F(Ssh, gateways_of_one_connection_do_not_hold_up_each_other) {
  Sshd sshd;
  Gateway loud = group().makegateway(sshd.spec("python=python3"));
  Gateway calm = group().makegateway(sshd.spec("python=python3"));
  Channel flood = loud.remote_exec("while True: channel.send(b'x' * 100000)");
  for (int round = 0; round < 100; ++round) EXPECT_EQ(ask<int>(calm, "channel.send(2)"), 2);
  EXPECT_EQ(take(flood).as_bytes().size(), 100'000U);
  EXPECT_EQ(sshd.logins(), 1);
}

TEST_F(Ssh, stderr_goes_where_the_spec_says) {
  Sshd sshd;
  Gateway gateway = group().makegateway(sshd.spec("python=python3//stderr=callback"));
  std::mutex mutex;
  std::string seen;
  gateway.set_output([&](const Output& output) {
    const std::lock_guard lock(mutex);
    seen += output.text;
  });
  (void)ask<int>(gateway, "import sys; print('oh no', file=sys.stderr); channel.send(1)");
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return seen == "oh no\n";
  })) << seen;
}

TEST_F(Ssh, the_end_of_an_agent_is_told) {
  Sshd sshd;
  Gateway exits = group().makegateway(sshd.spec("python=python3"));
  EXPECT_THAT(lost(exits.remote_exec("import os, sys; sys.stderr.write('last words\\n'); os._exit(3)")).what(),
              AllOf(HasSubstr("exit status 3"), HasSubstr("last words")));
  Gateway dies = group().makegateway(sshd.spec("python=python3"));
  EXPECT_THAT(lost(dies.remote_exec("import os; os.kill(os.getpid(), 11)")).what(), HasSubstr("SIGSEGV"));
  EXPECT_EQ(sshd.logins(), 1);
}

TEST_F(Ssh, G7_more_gateways_than_a_connection_may_have) {
  Sshd sshd({.config = {"MaxSessions 2"}});
  const auto gateways = group().makegateways(std::vector<std::string>(5, sshd.spec("python=python3")));
  for (const Gateway& gateway : gateways) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 3);
}

TEST_F(Ssh, G7_a_server_that_is_busy_is_tried_again) {
  Sshd sshd({.config = {"MaxStartups 1"}});
  // Somebody who connects and says nothing takes the one place.
  auto quiet = std::make_optional<detail::ChildProcess>();
  detail::SpawnRequest request;
  request.argv = {"sleep", "1000"};
  const std::string port = std::to_string(sshd.port());
  request.argv = {
      "/usr/bin/python3", "-c",
      "import socket, time; s = socket.create_connection(('127.0.0.1', " + port + ")); s.recv(1); time.sleep(1.5)"};
  quiet = detail::ChildProcess::start(request);
  ASSERT_TRUE(eventually([&] { return !sshd.connections().empty(); }, patience));
  EXPECT_EQ(ask<int>(group().makegateway(sshd.spec("python=python3")), "channel.send(1)"), 1);
}

TEST_F(Ssh, G7_no_sessions_at_all_is_an_error_that_says_so) {
  Sshd sshd({.config = {"MaxSessions 0"}});
  try {
    (void)group().makegateway(sshd.spec("python=python3"));
    FAIL();
  } catch (const Error& problem) {
    EXPECT_EQ(problem.code(), errc::server_limit);
    EXPECT_THAT(problem.what(), HasSubstr("MaxSessions"));
  }
}

TEST_F(Ssh, G6_keys_are_exchanged_again_in_the_midst_of_data) {
  Sshd sshd({.config = {"RekeyLimit 1M"}});
  Gateway gateway = group().makegateway(sshd.spec("python=python3"));
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  const Bytes block(std::string(1'000'000, 'x'));
  for (int round = 0; round < 20; ++round) {
    channel.send(block);
    EXPECT_EQ(take(channel).as_bytes().size(), block.size());
  }
}

TEST_F(Ssh, jumps_through_another_host) {
  Sshd outer;
  Sshd inner;
  const std::string inner_port = std::to_string(inner.port());
  const std::string config =
      "Host far\n  HostName 127.0.0.1\n  Port " + inner_port + "\n  HostKeyAlias 127.0.0.1\n  UserKnownHostsFile " +
      inner.file("known_hosts") + "\n  IdentityFile " + inner.file("user_key") +
      "\n  IdentityAgent none\n  ProxyJump private\n" + "Host *\nInclude " + outer.file("ssh_config") + "\n";
  TemporaryDirectory directory;
  const std::string spec = "ssh=far//python=python3//ssh_config=" + directory.write("config", config);
  for (int round = 0; round < 2; ++round) EXPECT_EQ(ask<int>(group().makegateway(spec), "channel.send(1)"), 1);
  EXPECT_EQ(outer.logins(), 1);
  EXPECT_EQ(inner.logins(), 1);
  Channel waiting = group().makegateway(spec).remote_exec("channel.receive()");
  outer.kill();
  EXPECT_THAT(lost(waiting).what(), HasSubstr("lost"));
}

TEST_F(Ssh, goes_through_a_proxy_command_of_the_configuration) {
  Sshd sshd;
  TemporaryDirectory directory;
  const std::string port = std::to_string(sshd.port());
  directory.write("proxy.py",
                  "import socket, sys, threading\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
                  "def out():\n  while True:\n    data = s.recv(65536)\n    if not data: break\n    "
                  "sys.stdout.buffer.write(data); sys.stdout.flush()\n"
                  "threading.Thread(target=out, daemon=True).start()\nimport os\n"
                  "while True:\n  data = os.read(0, 65536)\n  if not data: break\n  s.sendall(data)\n");
  const std::string config = "Host private\n  Port " + port + "\n  ProxyCommand python3 " + (directory / "proxy.py") +
                             " %p\nHost *\nInclude " + sshd.file("ssh_config") + "\n";
  Gateway gateway = group().makegateway("ssh=private//python=python3//ssh_config=" + directory.write("config", config));
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_F(Ssh, G10_a_forced_command_is_shown) {
  Sshd sshd({.config = {"ForceCommand echo this account is for backups only"}});
  try {
    (void)group().makegateway(sshd.spec("python=python3"));
    FAIL();
  } catch (const Error& problem) {
    EXPECT_THAT(problem.what(), HasSubstr("backups only"));
  }
}

}  // namespace
}  // namespace gangway::test
