// Row B4 for the transports that have processes of their own between a controller and its agents: whoever of them is
// killed, nobody is left on any side.
#include "tests/faults/fault_test.hpp"

#include <filesystem>
#include <fstream>

#include "tests/support/sshd.hpp"

namespace gangway::test {
namespace {

namespace fs = std::filesystem;

/// OpenSSH's masters whose sockets are below a directory. Their title stands where the environment with the cookie was.
std::vector<pid_t> masters_below(const std::string& directory) {
  std::vector<pid_t> pids;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    std::ifstream file(entry.path() / "cmdline");
    std::string title;
    std::getline(file, title, '\0');
    if (title.starts_with("ssh: " + directory) && title.find("[mux]") != title.npos)
      pids.push_back(static_cast<pid_t>(std::stoi(entry.path().filename())));
  }
  return pids;
}

/// The gateways that a controller opens one after the other, a line each; {ssh} is the way to the test's sshd.
struct Way {
  const char* name;
  const char* specs;
};

class TransportDeath : public GroupTest, public ::testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    if (const std::string why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
    if (std::string(GetParam().specs).find("sudo") != std::string::npos &&
        (::geteuid() != 0 || std::system("sudo -n -u nobody true 2>/dev/null") != 0))
      GTEST_SKIP() << "needs root, and sudo";
  }
  [[nodiscard]] static std::string specs(const Sshd& sshd) {
    std::string text = GetParam().specs;
    for (std::size_t at; (at = text.find("{ssh}")) != text.npos;) text.replace(at, 5, sshd.spec("python=python3"));
    return text;
  }
  const TemporaryDirectory directory_;
  const EnvironmentScope sockets_{"TMPDIR", directory_.path()};
};

INSTANTIATE_TEST_SUITE_P(, TransportDeath,
                         ::testing::Values(Way{"openssh", "{ssh}//ssh_client=openssh\n{ssh}//ssh_client=openssh"},
                                           Way{"popen_ssh_popen", "popen//id=a\n{ssh}//via=a//id=b\npopen//via=b"},
                                           Way{"ssh_ssh_openssh",
                                               "{ssh}//id=a\n{ssh}//via=a//id=b\n{ssh}//ssh_client=openssh//via=b"},
                                           Way{"installvia", "popen//id=a\nsocket//installvia=a"},
                                           Way{"sudo", "command=sudo -n -u nobody//python=/usr/bin/python3"}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(TransportDeath, B4_of_the_controller_leaves_nothing) {
  const Sshd sshd;
  ControllerProcess controller("ignore", specs(sshd));
  const auto workers = controller.ready();
  ASSERT_FALSE(workers.empty());
  const bool has_master = std::string_view(GetParam().name) == "openssh";  // at a hop each client logs in by itself
  EXPECT_EQ(!masters_below(directory_.path()).empty(), has_master);
  controller.signal(SIGKILL);
  ASSERT_TRUE(controller.wait());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 30s));
  EXPECT_TRUE(eventually([&] { return masters_below(directory_.path()).empty(); }, 30s));
  for (const pid_t worker : workers)  // of which sudo hides the cookie
    EXPECT_TRUE(eventually([&] { return !is_alive(worker); }, 30s));
}

class ClientDeath : public GroupTest {};

TEST_F(ClientDeath, of_the_master_that_openssh_clients_share_ends_all_and_the_next_gateway_has_another) {
  if (const std::string why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  const TemporaryDirectory directory;
  const EnvironmentScope sockets("TMPDIR", directory.path());
  Sshd sshd;
  const std::string spec = sshd.spec("ssh_client=openssh//python=python3");
  Gateway one = group().makegateway(spec);
  Gateway two = group().makegateway(spec);
  Channel first = one.remote_exec("channel.receive()"), second = two.remote_exec("channel.receive()");
  ASSERT_EQ(sshd.logins(), 1);
  const auto masters = masters_below(directory.path());
  ASSERT_EQ(masters.size(), 1u);
  ASSERT_EQ(::kill(masters[0], SIGKILL), 0);
  EXPECT_THAT(lost(first).what(), HasSubstr("exit status 255"));  // ssh's own
  EXPECT_THAT(lost(second).what(), HasSubstr("exit status 255"));
  EXPECT_TRUE(eventually([&] { return !is_alive(static_cast<pid_t>(one.info().pid)); }, 15s));
  EXPECT_TRUE(eventually([&] { return !is_alive(static_cast<pid_t>(two.info().pid)); }, 15s));
  EXPECT_EQ(ask<int>(group().makegateway(spec), "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 2);
}

}  // namespace
}  // namespace gangway::test
