// Rows of RELIABILITY.md over ssh: whoever dies or falls silent, nobody hangs and nobody is left.
#include "tests/faults/fault_test.hpp"

#include "tests/support/sshd.hpp"
#include "tests/support/wan_proxy.hpp"

namespace gangway::test {
namespace {

class SshFaults : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    if (const std::string why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  }
};

constexpr const char* ignore_everything =
    "import os, signal\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\nchannel.send(os.getpid())\nwhile True: "
    "pass";

TEST_F(SshFaults, B3_terminate_is_bounded_whatever_the_agents_do) {
  Sshd sshd;
  Gateway stopped = group().makegateway(sshd.spec("python=python3"));
  const pid_t worker = ask<int>(stopped, "import os; channel.send(os.getpid())");
  ASSERT_EQ(::kill(worker, SIGSTOP), 0);
  Gateway busy = group().makegateway(sshd.spec("python=python3"));
  Channel channel = busy.remote_exec(ignore_everything);
  (void)take<int>(channel);
  const auto begin = std::chrono::steady_clock::now();
  const TerminateReport report = group().terminate(500ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, sanitized ? 10s : 3s);
  EXPECT_THAT(report.killed, ::testing::SizeIs(2));
  EXPECT_THAT(report.survivors, IsEmpty());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
}

TEST_F(SshFaults, B4_the_controller_is_killed) {
  Sshd sshd;
  for (const char* const mode : {"hold", "stop", "ignore", "gil", "children"}) {
    SCOPED_TRACE(mode);
    ControllerProcess controller(mode, sshd.spec("python=python3"), 2);
    EXPECT_THAT(controller.ready(), ::testing::SizeIs(2));
    controller.signal(SIGKILL);
    ASSERT_TRUE(controller.wait());
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 15s));
  }
}

TEST_F(SshFaults, G9_sshd_is_killed) {
  Sshd sshd;
  Channel one = group().makegateway(sshd.spec("python=python3")).remote_exec("channel.receive()");
  Channel two = group().makegateway(sshd.spec("python=python3")).remote_exec("channel.receive()");
  for (const pid_t pid : sshd.connections()) ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_THAT(lost(one).what(), HasSubstr("the ssh connection to"));
  EXPECT_THAT(lost(two).what(), HasSubstr("was lost"));
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 15s));
  // The next gateway gets a new connection.
  EXPECT_EQ(ask<int>(group().makegateway(sshd.spec("python=python3")), "channel.send(1)"), 1);
}

TEST_F(SshFaults, G14_the_agent_ends_and_the_connection_stays) {
  Sshd sshd;
  Gateway gateway = group().makegateway(sshd.spec("python=python3"));
  Gateway other = group().makegateway(sshd.spec("python=python3"));
  const ConnectionLost end = lost(gateway.remote_exec("import os; os.kill(os.getpid(), 9)"));
  EXPECT_EQ(end.death().signal, SIGKILL);
  EXPECT_EQ(ask<int>(other, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 1);
}

TEST_F(SshFaults, B9_children_that_hold_stderr_do_not_hide_the_end) {
  Sshd sshd;
  Gateway gateway = group().makegateway(sshd.spec("python=python3"));
  EXPECT_THAT(lost(gateway.remote_exec("import os, subprocess; subprocess.Popen(['sleep', '1000'], "
                                       "start_new_session=True); os._exit(4)"))
                  .what(),
              HasSubstr("exit status 4"));
  kill_survivors(cookie());
}

class SshNetwork : public SshFaults {
 protected:
  std::string through(const WanProxy& proxy, const Sshd& sshd, const std::string& more = "") {
    return "ssh=-p " + std::to_string(proxy.port()) +
           " private//python=python3//ssh_config=" + sshd.file("ssh_config") + more;
  }
  static std::string address(const Sshd& sshd) { return "127.0.0.1:" + std::to_string(sshd.port()); }
};

TEST_F(SshNetwork, C2_a_link_that_falls_silent_is_found_dead) {
  Sshd sshd;
  WanProxy proxy(address(sshd));
  Channel channel = group().makegateway(through(proxy, sshd, "//keepalive=0.5")).remote_exec("channel.receive()");
  proxy.stall(true);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(lost(channel).what(), HasSubstr("no answer for"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
  proxy.stall(false);
}

TEST_F(SshNetwork, C8_a_stall_is_survived) {
  Sshd sshd;
  WanProxy proxy(address(sshd));
  Gateway gateway = group().makegateway(through(proxy, sshd, "//keepalive=3"));
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
  proxy.stall(true);
  channel.send(2);
  EXPECT_THROW((void)channel.receive(4s), TimeoutError);
  proxy.stall(false);
  EXPECT_EQ(take<int>(channel), 2);
}

TEST_F(SshNetwork, C3_a_reset_is_told_at_once) {
  Sshd sshd;
  WanProxy proxy(address(sshd));
  Channel channel = group().makegateway(through(proxy, sshd)).remote_exec("channel.receive()");
  proxy.reset();
  EXPECT_THAT(lost(channel).what(), HasSubstr("was lost"));
}

TEST_F(SshNetwork, C9_one_byte_at_a_time) {
  Sshd sshd;
  WanProxy proxy(address(sshd));
  proxy.chop(true);
  EXPECT_EQ(ask<int>(group().makegateway(through(proxy, sshd)), "channel.send(5)"), 5);
}

// A flipped bit is found by the MAC: the connection ends, and nothing wrong is ever received.
TEST_F(SshNetwork, D15_a_flipped_bit_ends_the_connection) {
  Sshd sshd;
  WanProxy proxy(address(sshd));
  Gateway gateway = group().makegateway(through(proxy, sshd));
  const Bytes block(std::string(10'000, 'x'));
  Channel channel = gateway.remote_exec("while True: channel.send(b'x' * 10000)");
  EXPECT_EQ(take(channel).as_bytes(), block);
  proxy.corrupt(WanProxy::Way::to_client, proxy.passed(WanProxy::Way::to_client) + 1'000'000);
  try {
    for (;;) ASSERT_EQ(channel.receive(patience).as_bytes(), block);
  } catch (const ConnectionLost& end) {
    EXPECT_THAT(end.what(), HasSubstr("was lost"));
  }
}

TEST_F(SshNetwork, terminate_is_bounded_on_a_silent_link) {
  Sshd sshd;
  WanProxy proxy(address(sshd));
  Gateway gateway = group().makegateway(through(proxy, sshd));
  (void)ask<int>(gateway, "channel.send(1)");
  proxy.stall(true);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(group().terminate(300ms).killed, ::testing::SizeIs(1));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, sanitized ? 10s : 3s);
  end_group();
  proxy.stall(false);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 15s));
}

/// A server of a few lines: says something, then does what a broken one does.
class ScriptServer {
 public:
  explicit ScriptServer(const std::string& then) {
    detail::Pipe out = detail::make_pipe();
    detail::SpawnRequest request;
    request.argv = {"/usr/bin/python3", "-c",
                    "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\n"
                    "import os; os.write(1, b'%d\\n' % s.getsockname()[1])\nkept = []\nwhile True:\n  c, _ = "
                    "s.accept()\n  kept.append(c)\n"
                    "  try:\n    " +
                        then + "\n  except OSError: pass\n"};
    request.descriptors = {{out.write.get(), 1}};
    child_ = detail::ChildProcess::start(request);
    char digits[16] = {};
    if (::read(out.read.get(), digits, sizeof digits - 1) > 0) port_ = digits;
    while (!port_.empty() && port_.back() == '\n') port_.pop_back();
  }
  [[nodiscard]] std::string spec(const std::string& more = "") const {
    return "ssh=-F none -p " + port_ + " 127.0.0.1//connect_timeout=2" + more;
  }

 private:
  detail::ChildProcess child_;
  std::string port_;
};

TEST_F(SshFaults, G5_servers_that_misbehave_before_the_login) {
  const struct {
    const char* then;
    boost::system::error_code code;
  } servers[] = {
      {"pass", errc::connect_timeout},                                       // says nothing
      {"c.close()", errc::server_limit},                                     // hangs up
      {"c.sendall(b'HTTP/1.1 400 Bad Request\\r\\n' * 50000)", {}},          // is something else
      {"c.sendall(b'x' * 1000000)", {}},                                     // a banner without end
      {"c.sendall(b'SSH-2.0-x\\r\\n'); c.close()", errc::host_unreachable},  // dies in the key exchange
      {"c.sendall(b'SSH-2.0-x\\r\\n' + bytes(range(256)) * 100)", {}},       // noise
      {"c.sendall(b'SSH-2.0-x\\r\\n')", errc::connect_timeout},              // never ends it
  };
  for (const auto& server : servers) {
    SCOPED_TRACE(server.then);
    ScriptServer script(server.then);
    const auto begin = std::chrono::steady_clock::now();
    try {
      (void)group().makegateway(script.spec());
      ADD_FAILURE() << "a gateway";
    } catch (const StartError& problem) {
      if (server.code) {
        EXPECT_EQ(problem.code(), server.code) << problem.what();
      }
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  }
}

}  // namespace
}  // namespace gangway::test
