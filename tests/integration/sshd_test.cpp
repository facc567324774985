// The sshd that other tests use is one, and counts right.
#include "tests/support/sshd.hpp"

#include <gtest/gtest.h>

#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

int run_ssh(const Sshd& sshd, std::vector<std::string> words) {
  detail::SpawnRequest request;
  request.argv = {"ssh", "-F", sshd.file("ssh_config"), "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"};
  request.argv.insert(request.argv.end(), words.begin(), words.end());
  auto child = detail::ChildProcess::start(request);
  const auto status = child.wait_for(patience);
  return status && status->code ? *status->code : -1;
}

class SshdFixture : public LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_F(SshdFixture, takes_its_key_and_counts_logins_and_sessions) {
  Sshd sshd;
  EXPECT_EQ(sshd.logins(), 0);
  EXPECT_EQ(run_ssh(sshd, {"private", "exit 7"}), 7);
  EXPECT_EQ(run_ssh(sshd, {"jump", "true"}), 0);
  EXPECT_EQ(sshd.logins(), 2);
  EXPECT_EQ(sshd.sessions(), 2);
  EXPECT_TRUE(eventually([&] { return sshd.connections().empty(); }));
}

TEST_F(SshdFixture, runs_the_login_shell_that_was_asked_for) {
  Sshd sshd({.login_shell = "/bin/dash"});
  EXPECT_EQ(run_ssh(sshd, {"private", "test \"$SHELL\" = /bin/dash && test \"$PWD\" = \"$HOME\" && exit 3"}), 3);
}

TEST_F(SshdFixture, is_the_same_after_a_restart_and_another_with_a_new_host_key) {
  Sshd sshd;
  const int port = sshd.port();
  sshd.restart({"ForceCommand exit 5"});
  EXPECT_EQ(sshd.port(), port);
  EXPECT_EQ(run_ssh(sshd, {"private", "true"}), 5);
  sshd.change_host_key();
  EXPECT_EQ(run_ssh(sshd, {"private", "true"}), 255);
}

TEST_F(SshdFixture, says_why_it_does_not_start) {
  try {
    Sshd sshd({.config = {"NoSuchKeyword yes"}});
    FAIL() << "it started";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("NoSuchKeyword"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gangway::test
