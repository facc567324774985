// Rows of the fault catalogue (README.md here) over ssh: whoever dies or falls silent, nobody hangs and nobody is left.
#include "tests/faults/fault_test.hpp"

#include <sys/fsuid.h>

#include <filesystem>
#include <tuple>

#include "tests/support/ssh_gateways.hpp"
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

/// A program that says on which port it listens.
class ScriptServer {
 public:
  explicit ScriptServer(std::vector<std::string> argv) {
    detail::Pipe out = detail::make_pipe();
    detail::SpawnRequest request;
    request.argv = std::move(argv);
    request.descriptors = {{out.write.get(), 1}};
    child_ = detail::ChildProcess::start(request);
    out.write.reset();
    char digits[16] = {};
    if (::read(out.read.get(), digits, sizeof digits - 1) > 0) port_ = digits;
    while (!port_.empty() && port_.back() == '\n') port_.pop_back();
    EXPECT_FALSE(port_.empty()) << "the server did not start";
  }
  [[nodiscard]] std::string spec(const std::string& more) const {
    return "ssh=-p " + port_ + " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentityAgent=none " +
           "127.0.0.1//ssh_config=/dev/null//" + more;
  }

 private:
  detail::ChildProcess child_;
  std::string port_;
};

/// Does this with every connection `c`, and keeps it.
ScriptServer few_lines(const std::string& then) {
  return ScriptServer({"/usr/bin/python3", "-c",
                       "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\n"
                       "import os; os.write(1, b'%d\\n' % s.getsockname()[1])\nkept = []\nwhile True:\n  c, _ = "
                       "s.accept()\n  kept.append(c)\n"
                       "  try:\n    " +
                           then + "\n  except OSError: pass\n"});
}

/// A whole server, with one fault: script_ssh_server.py.
ScriptServer ssh_server_that(const std::string& mode) {
  return ScriptServer({"/usr/bin/python3", "-B", Sshd::support("script_ssh_server.py"), mode});
}
std::string missing_script_server() {
  return std::system("/usr/bin/python3 -c 'import cryptography' 2>/dev/null") == 0
             ? ""
             : "the server of the test needs python3-cryptography";
}

class SshFaultsBy : public SshGateways, public ::testing::WithParamInterface<const char*> {
 protected:
  SshFaultsBy() : SshGateways(GetParam()) {}
  /// By the client whose turn it is.
  template <class T>
  [[nodiscard]] T by_client(T libssh, T openssh) const {
    return by_openssh() ? openssh : libssh;
  }
};

INSTANTIATE_TEST_SUITE_P(, SshFaultsBy, ssh_clients(), ssh_client_name);

TEST_P(SshFaultsBy, G5_servers_that_misbehave_before_the_login) {
  const struct {
    const char* then;
    errc libssh;
    errc openssh;
  } servers[] = {
      {"pass", errc::connect_timeout, errc::connect_timeout},     // says nothing
      {"c.close()", errc::server_limit, errc::host_unreachable},  // hangs up
      // Is something else. (libssh waits for what may stand behind such lines: RFC 4253, 4.2.)
      {"c.sendall(b'HTTP/1.1 400 Bad Request\\r\\n' * 50000)", errc::connect_timeout, errc::host_unreachable},
      {"c.sendall(b'x' * 1000000)", errc::host_unreachable, errc::host_unreachable},  // a banner without end
      // Dies in the key exchange.
      {"c.sendall(b'SSH-2.0-x\\r\\n'); c.close()", errc::host_unreachable, errc::host_unreachable},
      // Noise, which begins with the size of a packet. (libssh waits for its end.)
      {"c.sendall(b'SSH-2.0-x\\r\\n' + bytes(range(256)) * 100)", errc::connect_timeout, errc::host_unreachable},
      {"c.sendall(b'SSH-2.0-x\\r\\n')", errc::connect_timeout, errc::bootstrap_timeout},  // never ends it
  };
  for (const auto& server : servers) {
    SCOPED_TRACE(server.then);
    const ScriptServer script = few_lines(server.then);
    const auto begin = std::chrono::steady_clock::now();
    const StartError problem = failure(script.spec("connect_timeout=2//" + client()));
    EXPECT_EQ(problem.code(), by_client(server.libssh, server.openssh)) << problem.what();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  }
}

TEST_P(SshFaultsBy, G5_servers_that_misbehave_behind_the_key_exchange) {
  if (const auto why = missing_script_server(); !why.empty()) GTEST_SKIP() << why;
  // It is a server that works, so what fails below fails for the fault.
  EXPECT_EQ(ask<int>(group().makegateway(ssh_server_that("none").spec(client())), "channel.send(1)"), 1);
  const struct {
    const char* mode;
    errc libssh;
    errc openssh;
  } servers[] = {
      {"no-auth", errc::connect_timeout, errc::bootstrap_timeout},
      {"die-at-auth", errc::host_unreachable, errc::host_unreachable},
      {"max-packet-0", errc::bootstrap_timeout, errc::bootstrap_timeout},
      {"window-0", errc::bootstrap_timeout, errc::bootstrap_timeout},
  };
  for (const auto& server : servers) {
    SCOPED_TRACE(server.mode);
    const ScriptServer script = ssh_server_that(server.mode);
    const auto begin = std::chrono::steady_clock::now();
    const StartError problem = failure(script.spec("connect_timeout=2//" + client()));
    EXPECT_EQ(problem.code(), by_client(server.libssh, server.openssh)) << problem.what();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  }
  // A megabyte of banners is no fault by itself; nothing of that size is kept. OpenSSH's client writes it to our
  // stderr.
  if (by_openssh()) return;
  const ScriptServer talkative = ssh_server_that("banners");
  const StartError problem = failure(talkative.spec("python=/no/such/python//" + client()));
  EXPECT_EQ(problem.code(), errc::python_not_found) << problem.what();
  EXPECT_LT(std::string(problem.what()).size(), 10'000U);
}

// libssh keeps what it is sent until somebody takes it.
TEST_F(SshFaults, G5_a_server_that_floods_takes_no_memory) {
  if (const auto why = missing_script_server(); !why.empty()) GTEST_SKIP() << why;
  const struct {
    const char* mode;
    bool ends;
    const char* text;
  } servers[] = {{"ask", false, ""},
                 {"ask-deaf", true, "does not read the answers"},
                 {"alive-deaf", true, "does not read the answers"},
                 {"overflow", true, "protocol error"}};
  for (const auto& server : servers) {
    SCOPED_TRACE(server.mode);
    const ScriptServer script = ssh_server_that(server.mode);
    Gateway gateway = group().makegateway(script.spec("python=python3"));
    Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
    channel.send(1);
    EXPECT_EQ(take<int>(channel), 1);
    const std::size_t before = resident();
    channel.send("now flood");
    if (server.ends) {
      EXPECT_THAT(lost(channel).what(), HasSubstr(server.text));
    }
    std::this_thread::sleep_for(4s);  // in which it could send gigabytes
    EXPECT_LT(resident(), before + (sanitized ? 300 : 50) * 1024 * 1024);
    if (server.ends) continue;
    EXPECT_EQ(take(channel), "now flood");
    channel.send(2);
    EXPECT_EQ(take<int>(channel), 2);
    gateway.kill();
  }
}

// A status that is not known is no 0. OpenSSH's client ends with 255 then.
TEST_P(SshFaultsBy, G14_a_status_that_is_lost_is_unknown) {
  if (const auto why = missing_script_server(); !why.empty()) GTEST_SKIP() << why;
  const ScriptServer script = ssh_server_that("lose-status");
  for (const char* const ending :
       {"import os; os._exit(0)", "import os; os._exit(3)", "import os; os.kill(os.getpid(), 9)"}) {
    SCOPED_TRACE(ending);
    const ConnectionLost end = lost(group().makegateway(script.spec(client())).remote_exec(ending));
    EXPECT_EQ(end.death().signal, std::nullopt);
    EXPECT_EQ(end.death().exit_status, by_client<std::optional<int>>(std::nullopt, 255)) << end.what();
    EXPECT_THAT(end.what(), Not(HasSubstr("exit status 0")));
    EXPECT_EQ(end.death().known(), by_openssh());
  }
}

/// Whatever this thread, and those that it starts, do with files meanwhile is done by nobody in particular.
class PlainUser {
 public:
  PlainUser() : before_(::setfsuid(64321)) {}
  ~PlainUser() { ::setfsuid(static_cast<uid_t>(before_)); }
  PlainUser(const PlainUser&) = delete;
  PlainUser& operator=(const PlainUser&) = delete;

 private:
  const int before_;
};

// OpenSSH's client takes what it cannot read for empty, except that it reads 100 MB.
TEST_P(SshFaultsBy, G3_known_hosts_that_cannot_be_read) {
  serve();
  const std::string known = sshd().file("known_hosts");
  const auto expect = [&](const char* text, const std::string& options) {
    const StartError problem = failure(bare_spec(options, "127.0.0.1"));
    EXPECT_EQ(problem.code(), errc::host_key_unknown) << problem.what();
    if (!by_openssh()) {
      EXPECT_THAT(problem.what(), AllOf(HasSubstr(known), HasSubstr(text)));
    }
  };
  if (!by_openssh()) {
    // The key is in the first line: what comes behind it is why it is not taken.
    std::filesystem::resize_file(known, 100'000'000);
    expect("too large", "-o ConnectTimeout=11");
    std::filesystem::resize_file(known, 1000);
    EXPECT_EQ(ask<int>(group().makegateway(bare_spec("-o ConnectTimeout=12", "127.0.0.1")), "channel.send(1)"), 1);
  }
  std::filesystem::permissions(known, std::filesystem::perms::none);
  if (::geteuid() != 0) {
    expect("Permission denied", "-o ConnectTimeout=13");
  } else if (!by_openssh()) {  // a program of its own, to which this trick does not extend
    const PlainUser nobody;
    expect("Permission denied", "-o ConnectTimeout=13");
  }
  std::filesystem::remove(known);
  std::filesystem::create_directory(known);
  expect("not a regular file", "-o ConnectTimeout=14");
  EXPECT_EQ(sshd().logins(), by_openssh() ? 0 : 1);
  std::filesystem::remove(known);
}

}  // namespace
}  // namespace gangway::test
