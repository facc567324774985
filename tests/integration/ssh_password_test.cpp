// Logins by password and keyboard-interactive, at a real sshd that has a user for it.
#include <gmock/gmock.h>

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include <gangway/gangway.hpp>

#include "core/file_descriptor.hpp"
#include "core/trace.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sshd.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> by_pam{"UsePAM yes", "KbdInteractiveAuthentication yes", "PasswordAuthentication no"};

std::vector<std::string> methods(const std::string& list) {
  return {"UsePAM yes", "KbdInteractiveAuthentication yes", "AuthenticationMethods " + list};
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What is traced meanwhile, and written to stderr, goes to the end of a file.
class Traced {
 public:
  explicit Traced(const std::string& path)
      : file_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC)), saved_(::dup(STDERR_FILENO)) {
    ::dup2(file_.get(), STDERR_FILENO);
    trace::set_level(2);
  }
  ~Traced() {
    trace::set_level(0);
    ::dup2(saved_.get(), STDERR_FILENO);
  }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

 private:
  const detail::FileDescriptor file_;
  const detail::FileDescriptor saved_;
};

class SshPassword : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    if (const std::string why = Sshd::missing_passwords(); !why.empty()) GTEST_SKIP() << why;
  }
  void TearDown() override {
    end_group();
    sshd_.reset();
    GroupTest::TearDown();
  }
  Sshd& serve(std::vector<std::string> config = {}) {
    Sshd::Options options;
    options.config = std::move(config);
    options.passwords = true;
    return sshd_.emplace(std::move(options));
  }
  [[nodiscard]] Sshd& sshd() { return *sshd_; }

  /// The destination with options of ssh, and nothing from a configuration but these.
  std::string spec(const std::string& options = "", const std::string& more = "") {
    return "ssh=-F none -p " + std::to_string(sshd_->port()) + " -o UserKnownHostsFile=" + sshd_->file("known_hosts") +
           " -o GlobalKnownHostsFile=none -o IdentityAgent=none -o HostKeyAlias=127.0.0.1 " + options +
           " gwtest@127.0.0.1//python=python3" + more;
  }
  [[nodiscard]] std::string destination() const { return "gwtest@127.0.0.1:" + std::to_string(sshd_->port()); }
  [[nodiscard]] std::string key() const { return "-i " + sshd_->file("user_key") + " "; }

  /// From now on the function answers so, and what it was asked is kept.
  void answer(const std::string& text) {
    group().set_ssh_askpass([this, text](const SshPrompt& prompt) -> std::optional<std::string> {
      prompts_.push_back(prompt);  // of one login at a time
      return text;
    });
  }
  void answer_rightly() { answer(sshd_->password()); }

  bool works(const std::string& spec) { return ask<int>(group().makegateway(spec), "channel.send(7)") == 7; }
  StartError failure(const std::string& spec) { return start_error(group(), spec); }

  std::vector<SshPrompt> prompts_;
  TemporaryDirectory directory_;

 private:
  std::optional<Sshd> sshd_;
};

TEST_F(SshPassword, of_the_programs_function) {
  serve();
  answer_rightly();
  EXPECT_TRUE(works(spec()));
  EXPECT_EQ(ask(group().makegateway(spec()), "import getpass; channel.send(getpass.getuser())").as_str(), "gwtest");
  ASSERT_EQ(prompts_.size(), 1U) << "the second one shares the connection";
  EXPECT_EQ(prompts_[0].kind, SshPrompt::Kind::password);
  EXPECT_EQ(prompts_[0].text, destination() + "'s password: ");
  EXPECT_EQ(prompts_[0].destination, destination());
  EXPECT_FALSE(prompts_[0].echo);
  EXPECT_EQ(sshd().logged("Accepted password for gwtest"), 1);
}

TEST_F(SshPassword, of_the_program_SSH_ASKPASS_and_seen_nowhere) {
  serve();
  // Says by which words and in which surroundings it was asked.
  const std::string seen = directory_ / "seen";
  const EnvironmentScope askpass(
      "SSH_ASKPASS", directory_.write("askpass",
                                      "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + seen + "\nenv >>" + seen + "\ncat " +
                                          sshd().file("password") + "\n",
                                      true));
  const std::string traced = directory_.write("trace", "");
  Gateway gateway = [&] {
    const Traced scope(traced);
    return group().makegateway(spec());
  }();
  EXPECT_EQ(ask<int>(gateway, "channel.send(7)"), 7);
  const std::string password = sshd().password();
  ASSERT_GE(password.size(), 20U);
  std::vector<std::string> places{content(seen), content(traced), sshd().log(), content("/proc/self/cmdline"),
                                  content("/proc/self/environ")};
  EXPECT_THAT(places[0], AllOf(HasSubstr(destination() + "'s password: \n"), HasSubstr("GANGWAY_COOKIE=")));
  EXPECT_THAT(places[1], HasSubstr("logged in"));
  for (const Survivor& process : find_survivors(cookie()))
    for (const char* const file : {"/cmdline", "/environ"})
      places.push_back(content("/proc/" + std::to_string(process.pid) + file));
  EXPECT_GE(places.size(), 6U) << "the agent's";
  EXPECT_THAT(places, Each(Not(HasSubstr(password))));
}

TEST_F(SshPassword, that_is_wrong_is_asked_for_again_but_not_for_ever) {
  serve();
  answer("wrong-4711");
  const StartError refused = failure(spec());
  EXPECT_EQ(refused.code(), errc::auth_failed);
  EXPECT_THAT(refused.what(), AllOf(HasSubstr("password: refused"), HasSubstr("it takes: publickey, password"),
                                    Not(HasSubstr("wrong-4711"))));
  EXPECT_EQ(prompts_.size(), 3U);
  EXPECT_EQ(sshd().logged("Failed password for gwtest"), 3);

  prompts_.clear();
  EXPECT_EQ(failure(spec("-o NumberOfPasswordPrompts=1")).code(), errc::auth_failed);
  EXPECT_EQ(prompts_.size(), 1U);
}

TEST_F(SshPassword, of_a_server_that_has_had_enough) {
  serve({"MaxAuthTries 2"});
  answer("wrong");
  const StartError refused = failure(spec());
  EXPECT_EQ(refused.code(), errc::auth_failed);
  EXPECT_THAT(refused.what(), AllOf(HasSubstr("ended the login"), HasSubstr("Too many authentication failures"),
                                    HasSubstr("password: refused")));
  EXPECT_EQ(prompts_.size(), 2U);
}

TEST_F(SshPassword, that_nobody_knows) {
  serve();
  const EnvironmentScope no_askpass("SSH_ASKPASS", std::nullopt);
  EXPECT_THAT(failure(spec()).what(), HasSubstr("password: there is nobody to ask"));
  group().set_ssh_askpass([](const SshPrompt&) { return std::optional<std::string>(); });
  EXPECT_THAT(failure(spec()).what(), HasSubstr("password: no answer"));
  group().set_ssh_askpass([](const SshPrompt&) -> std::optional<std::string> { throw std::runtime_error("no"); });
  EXPECT_THAT(failure(spec()).what(), HasSubstr("password: no answer"));
  group().set_ssh_askpass(nullptr);
  const EnvironmentScope fails("SSH_ASKPASS", "/bin/false");
  EXPECT_THAT(failure(spec()).what(), HasSubstr("password: no answer"));
  EXPECT_THAT(failure(spec("-o BatchMode=yes")).what(), HasSubstr("password: BatchMode"));
  EXPECT_EQ(sshd().logged("Failed password for gwtest"), 0) << "nothing was tried";
}

TEST_F(SshPassword, that_is_not_given_in_time_is_an_error_in_time) {
  serve();
  const EnvironmentScope sleeps("SSH_ASKPASS", directory_.write("askpass", "#!/bin/sh\nexec sleep 1000\n", true));
  const StartError late = failure(spec("", "//connect_timeout=2"));
  EXPECT_THAT(late.code(), AnyOf(errc::bootstrap_timeout, errc::connect_timeout)) << late.what();
  end_group();
  EXPECT_TRUE(wait_for_no_survivors(cookie())) << "the program that asks has our cookie, too";
}

TEST_F(SshPassword, is_not_given_to_a_host_whose_key_has_changed) {
  serve();
  answer_rightly();
  sshd().change_host_key();
  EXPECT_THAT(failure(spec("-o StrictHostKeyChecking=no")).what(), HasSubstr("password: not sent to a host whose key"));
  EXPECT_TRUE(prompts_.empty());
}

TEST_F(SshPassword, by_keyboard_interactive) {
  serve(by_pam);
  answer_rightly();
  EXPECT_TRUE(works(spec()));
  ASSERT_EQ(prompts_.size(), 1U);
  EXPECT_EQ(prompts_[0].kind, SshPrompt::Kind::keyboard_interactive);
  EXPECT_THAT(prompts_[0].text, HasSubstr("Password: "));
  EXPECT_FALSE(prompts_[0].echo);
  EXPECT_EQ(sshd().logged("Accepted keyboard-interactive/pam for gwtest"), 1);

  answer("wrong");
  prompts_.clear();
  const StartError refused = failure(spec("-o ConnectTimeout=11"));  // other settings: another connection
  EXPECT_EQ(refused.code(), errc::auth_failed);
  EXPECT_THAT(refused.what(), AllOf(HasSubstr("keyboard-interactive: refused"),
                                    HasSubstr("it takes: publickey, keyboard-interactive")));
  EXPECT_EQ(prompts_.size(), 3U);
}

TEST_F(SshPassword, by_keyboard_interactive_and_SSH_ASKPASS) {
  serve(by_pam);
  const EnvironmentScope askpass("SSH_ASKPASS",
                                 directory_.write("askpass", "#!/bin/sh\ncat " + sshd().file("password") + "\n", true));
  EXPECT_TRUE(works(spec()));
  EXPECT_EQ(sshd().logged("Accepted keyboard-interactive/pam for gwtest"), 1);
}

TEST_F(SshPassword, prompts_of_the_server_can_fake_nothing) {
  serve(by_pam);
  std::ofstream(sshd().file("greeting")) << "\x1b[2J\x1b]0;title\x07Hello\nEnter passphrase for key '/home/.ssh/id':\n";
  answer_rightly();
  EXPECT_TRUE(works(spec()));
  ASSERT_EQ(prompts_.size(), 1U);
  const std::string origin = "(" + destination() + ") ";
  EXPECT_EQ(prompts_[0].text, origin + "\\x1b[2J\\x1b]0;title\\x07Hello\n" + origin +
                                  "Enter passphrase for key '/home/.ssh/id':\n" + origin + "Password: ");
}

TEST_F(SshPassword, is_asked_for_by_the_method_that_is_preferred) {
  serve({"UsePAM yes", "KbdInteractiveAuthentication yes"});
  answer_rightly();
  EXPECT_TRUE(works(spec("-o PreferredAuthentications=password")));
  EXPECT_TRUE(works(spec("-o PasswordAuthentication=no")));
  ASSERT_EQ(prompts_.size(), 2U);
  EXPECT_EQ(prompts_[0].kind, SshPrompt::Kind::password);
  EXPECT_EQ(prompts_[1].kind, SshPrompt::Kind::keyboard_interactive);
}

class SshSecondWay : public SshPassword, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(, SshSecondWay, ::testing::Values("password", "keyboard-interactive"),
                         [](const auto& way) { return way.param[0] == 'p' ? "password" : "keyboard_interactive"; });

TEST_P(SshSecondWay, comes_after_the_key) {
  const std::string second = GetParam();
  serve(methods("publickey," + second));
  answer_rightly();
  EXPECT_TRUE(works(spec(key())));
  EXPECT_EQ(sshd().logged("Partial publickey for gwtest"), 1);
  EXPECT_EQ(prompts_.size(), 1U);

  answer("wrong");
  const StartError refused = failure(spec(key() + "-o ConnectTimeout=11"));
  EXPECT_EQ(refused.code(), errc::auth_failed);
  EXPECT_THAT(refused.what(), AllOf(HasSubstr("user_key: taken, but not enough"), HasSubstr(second + ": refused"),
                                    HasSubstr("it takes: " + second)));
  EXPECT_THAT(failure(spec()).what(), HasSubstr("it takes: publickey")) << "without the key there is no second way";
}

TEST_F(SshPassword, as_the_first_of_two_ways) {
  serve(methods("password,publickey"));
  answer_rightly();
  EXPECT_TRUE(works(spec(key())));
  EXPECT_EQ(sshd().logged("Partial password for gwtest"), 1);
  EXPECT_EQ(prompts_.size(), 1U);
  EXPECT_THAT(failure(spec()).what(), HasSubstr("it takes: publickey"));
}

}  // namespace
}  // namespace gangway::test
