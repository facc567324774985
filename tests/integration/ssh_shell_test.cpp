// Login shells, their rc files and their homes, by both ssh clients. Rows A1 to A5 and A9 to A12 of the fault
// catalogue (tests/faults/README.md).
#include <gmock/gmock.h>

#include <filesystem>
#include <tuple>

#include "tests/support/poll.hpp"
#include "tests/support/ssh_gateways.hpp"

namespace gangway::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::Combine;
using ::testing::HasSubstr;
using ::testing::Values;

struct Shell {
  const char* program;
  const char* rc;              // below the home directory, read for commands that come by ssh; "": none
  const char* ask;             // asks a question, and waits for the answer
  bool restores_home = false;  // it sets HOME itself when that is missing
};

void PrintTo(const Shell& shell, std::ostream* out) { *out << shell.program; }

class SshShell : public SshGateways, public ::testing::WithParamInterface<std::tuple<const char*, Shell>> {
 protected:
  SshShell() : SshGateways(std::get<0>(GetParam())) {}
  static const Shell& shell() { return std::get<1>(GetParam()); }

  void SetUp() override {
    SshGateways::SetUp();
    if (IsSkipped()) return;
    for (const char* const directory : {"/bin/", "/usr/bin/"})
      if (const std::string path = directory + std::string(shell().program); ::access(path.c_str(), X_OK) == 0)
        path_ = path;
    if (path_.empty()) GTEST_SKIP() << "no " << shell().program << " on this machine";
  }
  void write_rc(const std::string& text) {
    const std::string file = shell().rc;
    if (file.empty()) return;
    fs::create_directories(fs::path(home_ / file).parent_path());
    (void)home_.write(file, text);
  }
  void serve_with_rc(const std::string& rc, std::vector<std::string> config = {}) {
    write_rc(rc);
    serve({.config = std::move(config), .login_shell = path_, .home = home_.path()});
  }

  const std::string ascii_ = "LC_ALL=C LANG=C PYTHONIOENCODING=ascii PYTHONUTF8=0 PYTHONCOERCECLOCALE=0";
  std::string path_;
  TemporaryDirectory home_;
};

INSTANTIATE_TEST_SUITE_P(
    , SshShell,
    Combine(ssh_clients(), Values(Shell{"bash", ".bashrc", "echo 'Go on?'; read answer\n"}, Shell{"dash", "", ""},
                                  Shell{"zsh", ".zshenv", "echo 'Go on?'; read answer\n", true},
                                  Shell{"tcsh", ".cshrc", "echo 'Go on?'; set answer = \"$<\"\n"},
                                  Shell{"fish", ".config/fish/config.fish", "echo 'Go on?'; read answer\n", true})),
    [](const auto& each) { return std::get<0>(each.param) + std::string("_") + std::get<1>(each.param).program; });

TEST_P(SshShell, session_with_noisy_rc_files_and_a_banner) {
  TemporaryDirectory banner;
  (void)banner.write("banner", "All connections are monitored\n");
  serve_with_rc("echo Welcome to this machine\necho and to stderr, sort of\n", {"Banner " + (banner / "banner")});
  Gateway gateway = start();
  EXPECT_EQ(ask(gateway, "channel.send('caf\\xe9 \\u20ac')").as_str(), "café €");
  EXPECT_EQ(ask(gateway, "import os; channel.send(os.environ['SHELL'])").as_str(), path_);
}

TEST_P(SshShell, A4_banner_and_noise_are_in_the_diagnostics) {
  TemporaryDirectory banner;
  (void)banner.write("banner", "All connections are monitored\n");
  serve_with_rc("echo Welcome to this machine\n", {"Banner " + (banner / "banner")});
  const StartError error = failure(spec("private", "python=/no/such/python"));
  EXPECT_EQ(error.code(), errc::python_not_found) << error.what();
  EXPECT_THAT(error.what(), AllOf(HasSubstr("All connections are monitored"), HasSubstr("/no/such/python")));
  if (*shell().rc != '\0') {
    EXPECT_THAT(error.what(), HasSubstr("it wrote: Welcome to this machine"));
  }
}

TEST_P(SshShell, session_with_an_ascii_locale_and_without_HOME) {
  write_rc("");
  const std::string shell_without_home =
      home_.write("no_home", "#!/bin/sh\nunset HOME\nexec " + path_ + " \"$@\"\n", true);
  fs::permissions(shell_without_home, fs::perms(0755));
  // A user of its own, where there can be one: without HOME some shells look into passwd for their rc files.
  const bool own_user = Sshd::missing_passwords().empty();
  serve(
      {.config = {"SetEnv " + ascii_}, .login_shell = shell_without_home, .home = home_.path(), .passwords = own_user});
  Gateway gateway = group().makegateway(spec(own_user ? "gwtest@private" : "private"));
  EXPECT_EQ(ask(gateway, "import os; channel.send('HOME' in os.environ)").as_bool(), shell().restores_home);
  EXPECT_EQ(ask(gateway, "print('caf\\xe9'); channel.send('caf\\xe9 \\u20ac')").as_str(), "café €");
  EXPECT_THAT(remote_error(gateway.remote_exec("raise ValueError('caf\\xe9')")), HasSubstr("café"));
}

TEST_P(SshShell, session_in_a_home_on_a_read_only_mount) {
  if (const auto why = Sshd::missing_passwords(); !why.empty()) GTEST_SKIP() << why;
  write_rc("");
  serve({.config = {"SetEnv " + ascii_},
         .login_shell = path_,
         .home = home_.path(),
         .passwords = true,
         .read_only_home = true});
  Gateway gateway = group().makegateway(spec("gwtest@private"));
  EXPECT_EQ(ask(gateway, R"(
        import errno, os
        try:
            open(os.environ["HOME"] + "/file", "w")
            channel.send("it can be written")
        except OSError as problem:
            channel.send(os.environ["HOME"] + " " + errno.errorcode[problem.errno])
      )"),
            home_.path() + " EROFS");
  EXPECT_EQ(ask(gateway, "import os; channel.send(os.getcwd())").as_str(), home_.path());
  EXPECT_EQ(ask(gateway, "print('caf\\xe9'); channel.send('caf\\xe9 \\u20ac')").as_str(), "café €");
}

TEST_P(SshShell, words_arrive_whatever_they_contain) {
  serve_with_rc("");
  const std::string script = home_.write("my 'own' python!", "#!/bin/sh\nexec /usr/bin/python3 \"$@\"\n", true);
  Gateway gateway = start("python=\"" + script + "\" -X 'a!b$HOME\"c\\d'");
  EXPECT_TRUE(ask(gateway, "import sys; channel.send('a!b$HOME\"c\\\\d' in sys._xoptions)").as_bool());
}

TEST_P(SshShell, A2_rc_that_floods_is_an_error) {
  if (*shell().rc == '\0') GTEST_SKIP() << shell().program << " reads no rc file for a command";
  serve_with_rc("head -c 70000 /dev/zero | tr '\\0' x\n");
  const StartError error = failure();
  EXPECT_EQ(error.code(), errc::bootstrap_noise) << error.what();
  EXPECT_THAT(error.what(), HasSubstr("it wrote: " + std::string(200, 'x')));
}

// The answer that it gets is the first line of the agent. Where that ends is chance: what is left, and the frames
// behind it, are too few bytes, which is a timeout, or enough that are no agent. What remains is found by the
// cookie, which the whole session has here, not only the agent.
TEST_P(SshShell, A5_rc_that_asks_a_question_is_an_error_in_time_and_leaves_nobody) {
  if (*shell().rc == '\0') GTEST_SKIP() << shell().program << " reads no rc file for a command";
  serve_with_rc(shell().ask, {"SetEnv GANGWAY_COOKIE=" + cookie()});
  const auto begin = std::chrono::steady_clock::now();
  const StartError error = failure(spec("private", "connect_timeout=5"));
  if (error.code() != errc::bootstrap_timeout) {
    EXPECT_EQ(error.code(), errc::bootstrap_failed) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("bootstrap corrupt"));
  }
  EXPECT_THAT(error.what(), HasSubstr("Go on?"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
  EXPECT_TRUE(wait_for_no_survivors(cookie()));
}

// Of the client's end the waiting shell does not learn: only a signal ends it, which libssh can send and OpenSSH's
// client cannot, and which sshd takes for a login shell, not for a ForceCommand.
TEST_P(SshShell, A5_rc_that_sleeps_is_an_error_in_time_and_leaves_nobody) {
  if (*shell().rc == '\0') GTEST_SKIP() << shell().program << " reads no rc file for a command";
  if (by_openssh()) GTEST_SKIP() << "OpenSSH's client has no way to signal what a session runs";
  if (const auto why = Sshd::missing_passwords(); !why.empty()) GTEST_SKIP() << why;
  write_rc("sleep 1000\n");
  serve(
      {.config = {"SetEnv GANGWAY_COOKIE=" + cookie()}, .login_shell = path_, .home = home_.path(), .passwords = true});
  EXPECT_EQ(failure(spec("gwtest@private", "connect_timeout=5")).code(), errc::bootstrap_timeout);
  EXPECT_TRUE(wait_for_no_survivors(cookie()));
}

}  // namespace
}  // namespace gangway::test
