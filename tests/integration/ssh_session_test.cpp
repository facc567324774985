// What a login leads to, by both ssh clients: interpreters that are there or not, sessions that run something else.
#include <gmock/gmock.h>

#include <netdb.h>

#include <filesystem>
#include <fstream>

#include "tests/support/ssh_gateways.hpp"

namespace gangway::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class SshSession : public SshGateways, public ::testing::WithParamInterface<const char*> {
 protected:
  SshSession() : SshGateways(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(, SshSession, ssh_clients(), ssh_client_name);

bool resolves(const char* name, int family) {
  addrinfo hints{};
  hints.ai_family = family;
  addrinfo* found = nullptr;
  if (::getaddrinfo(name, nullptr, &hints, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

TEST_P(SshSession, options_4_and_6_choose_the_protocol) {
  if (serve().logged("Server listening on ::1") == 0) GTEST_SKIP() << "no IPv6 on this machine's loopback";
  const auto address_of_client = [&](const std::string& option, const std::string& host) {
    return ask<std::string>(group().makegateway(bare_spec(option, host)),
                            "import os; channel.send(os.environ['SSH_CONNECTION'])");
  };
  EXPECT_THAT(address_of_client("-6", "::1"), StartsWith("::1 "));
  EXPECT_THAT(address_of_client("-4", "127.0.0.1"), StartsWith("127.0.0.1 "));
  EXPECT_EQ(failure(bare_spec("-4", "::1")).code(), errc::host_not_found);
  EXPECT_EQ(failure(bare_spec("-6", "127.0.0.1")).code(), errc::host_not_found);
  EXPECT_THAT(address_of_client("-4", "localhost"), StartsWith("127.0.0.1 "));
  if (resolves("localhost", AF_INET6)) {
    EXPECT_THAT(address_of_client("-6", "localhost"), StartsWith("::1 "));
  }
}

TEST_P(SshSession, python_that_is_not_there_and_python_that_is) {
  serve();
  const StartError missing = failure(spec("private", "python=/no/such/python"));
  EXPECT_EQ(missing.code(), errc::python_not_found) << missing.what();
  EXPECT_THAT(missing.what(), HasSubstr("/no/such/python"));
  Gateway gateway = start("python=/usr/bin/python3 -X dev");
  EXPECT_TRUE(ask(gateway, "import sys; channel.send(sys.flags.dev_mode)").as_bool());
}

TEST_P(SshSession, the_interpreter_that_was_found_is_asked_first_the_next_time) {
  TemporaryDirectory home;
  // The machine's python3 is one whose every question is counted.
  const std::string count = home / "count";
  (void)home.write("python3", "#!/bin/sh\necho \"$1\" >>" + count + "\nexec /usr/bin/python3 \"$@\"\n", true);
  serve(
      {.config = {"ForceCommand PATH=" + home.path() + ":/usr/bin:/bin; export PATH; eval \"$SSH_ORIGINAL_COMMAND\""}});
  Gateway first = start();
  EXPECT_EQ(first.info().executable, "/usr/bin/python3");
  Gateway second = start();
  EXPECT_EQ(ask<int>(second, "channel.send(1)"), 1);
  std::ifstream file(count);
  const std::string asked{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(asked, "-V\n-u\n") << "once, by the first";
  EXPECT_EQ(sshd().sessions(), 2) << "no round trip of its own";
}

// The far side's PATH has nothing but what `programs` has.
class SshDiscovery : public SshSession {
 protected:
  void SetUp() override {
    SshSession::SetUp();
    if (IsSkipped()) return;
    for (const char* const name : {"sh", "env"}) fs::create_symlink(std::string("/usr/bin/") + name, programs_ / name);
    serve({.config = {"ForceCommand PATH=" + programs_.path() + "; export PATH; exec /bin/sh -c " +
                      "\"$(echo \"$SSH_ORIGINAL_COMMAND\" | /usr/bin/sed 's,/usr/bin/python3,,; "
                      "s,/usr/local/bin/python3,,')\""}});
  }
  TemporaryDirectory programs_;
};

INSTANTIATE_TEST_SUITE_P(, SshDiscovery, ssh_clients(), ssh_client_name);

TEST_P(SshDiscovery, A6_no_python_at_all) {
  const StartError none = failure();
  EXPECT_EQ(none.code(), errc::python_not_found) << none.what();
  EXPECT_THAT(none.what(), AllOf(HasSubstr("tried python3 "), HasSubstr("python3.6 "), HasSubstr("pypy3")));
}

// As 2.7 does: the version goes to stderr.
TEST_P(SshDiscovery, A7_an_old_python) {
  for (const char* const name : {"python3", "python"})
    (void)programs_.write(
        name, "#!/bin/sh\ncase $1 in -V) echo Python 2.7.18 >&2;; *) echo SyntaxError >&2; exit 1;; esac\n", true);
  const StartError old = failure();
  EXPECT_EQ(old.code(), errc::python_too_old) << old.what();
  EXPECT_THAT(old.what(),
              AllOf(HasSubstr("python3 is 2.7.18"), HasSubstr("3.6 is needed"), Not(HasSubstr("SyntaxError"))));
}

// One that is new enough is taken although an older one comes first.
TEST_P(SshDiscovery, A7_an_old_python_and_a_new_one) {
  (void)programs_.write("python3", "#!/bin/sh\necho Python 2.7.18 >&2\n", true);
  (void)programs_.write("python3.9", "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n", true);
  EXPECT_EQ(ask<int>(start(), "channel.send(1)"), 1);
}

// --- sessions that run no commands: rows A9 and G10 of the fault catalogue (tests/faults/README.md)

TEST_P(SshSession, G10_sftp_and_nothing_else) {
  serve({.config = {"ForceCommand internal-sftp"}});
  const StartError refused = failure();
  EXPECT_EQ(refused.code(), errc::shell_refused) << refused.what();
  EXPECT_THAT(refused.what(), HasSubstr("the login shell did not run the command"));
}

TEST_P(SshSession, G10_a_forced_command) {
  serve({.config = {"ForceCommand echo this account is for backups only"}});
  const StartError refused = failure();
  EXPECT_EQ(refused.code(), errc::shell_refused) << refused.what();
  EXPECT_THAT(refused.what(), HasSubstr("backups only"));
}

TEST_P(SshSession, G10_a_restricted_shell) {
  if (::access("/bin/rbash", X_OK) != 0) GTEST_SKIP() << "no rbash on this machine";
  serve({.login_shell = "/bin/rbash"});
  const StartError refused = failure();
  EXPECT_EQ(refused.code(), errc::shell_refused) << refused.what();
  EXPECT_THAT(refused.what(), HasSubstr("restricted"));
}

TEST_P(SshSession, A9_a_login_shell_that_refuses) {
  if (::access("/usr/sbin/nologin", X_OK) != 0) GTEST_SKIP() << "no nologin on this machine";
  serve({.login_shell = "/usr/sbin/nologin"});
  const StartError refused = failure();
  EXPECT_EQ(refused.code(), errc::shell_refused) << refused.what();
  EXPECT_THAT(refused.what(), HasSubstr("not available"));
}

// What is not a refusal: an interpreter that ends before it answers, and says why.
TEST_P(SshSession, an_interpreter_that_fails_is_not_a_shell_that_refuses) {
  TemporaryDirectory programs;
  (void)programs.write(
      "python3",
      "#!/bin/sh\ncase $1 in -V) echo Python 3.11.2;; *) echo Fatal Python error: no codec >&2; exit 1;; esac\n", true);
  serve({.config = {"ForceCommand PATH=" + programs.path() +
                    ":/usr/bin:/bin; export PATH; eval \"$SSH_ORIGINAL_COMMAND\""}});
  const StartError failed = failure();
  EXPECT_EQ(failed.code(), errc::bootstrap_failed) << failed.what();
  EXPECT_THAT(failed.what(), HasSubstr("no codec"));
}

TEST_P(SshSession, A4_a_banner_is_shown_when_the_login_fails) {
  TemporaryDirectory directory;
  serve({.config = {"Banner " + directory.write("banner", "Only members of staff\n")}});
  const StartError refused = failure("ssh=-p " + std::to_string(sshd().port()) +
                                     " -i /no/key -o IdentityAgent=none -o IdentitiesOnly=yes -o UserKnownHostsFile=" +
                                     sshd().file("known_hosts") + " 127.0.0.1//ssh_config=/dev/null//" + client());
  EXPECT_EQ(refused.code(), errc::auth_failed);
  EXPECT_THAT(refused.what(), HasSubstr("Only members of staff"));
}

}  // namespace
}  // namespace gangway::test
