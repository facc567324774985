// Host keys and logins by libssh, at a real sshd.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include <gangway/gangway.hpp>

#include "core/process.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sshd.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

void run(std::vector<std::string> argv) {
  detail::SpawnRequest request;
  request.argv = std::move(argv);
  const detail::FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  request.descriptors = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
  auto child = detail::ChildProcess::start(request);
  const auto status = child.wait_for(patience);
  ASSERT_TRUE(status && status->success()) << request.argv.front();
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SshLoginTest : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    if (const std::string why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
  }

  /// The sshd's destination with options of ssh, and nothing from its ssh_config but these.
  std::string spec(const Sshd& sshd, const std::string& options = "", bool with_key = true) {
    return "ssh=-F none -p " + std::to_string(sshd.port()) + " -o UserKnownHostsFile=" + sshd.file("known_hosts") +
           " -o GlobalKnownHostsFile=none -o HostKeyAlias=127.0.0.1 -o IdentityAgent=none " +
           (with_key ? "-i " + sshd.file("user_key") + " " : "") + options + " 127.0.0.1//python=python3";
  }
  StartError failure(const std::string& spec) { return start_error(group(), spec); }
  bool works(const std::string& spec) { return ask<int>(group().makegateway(spec), "channel.send(7)") == 7; }

  TemporaryDirectory directory_;
};

TEST_F(SshLoginTest, names_ports_and_silence_are_told_apart) {
  Sshd sshd;
  const auto unknown = failure("ssh=-F none no-such-host.invalid");
  EXPECT_EQ(unknown.code(), errc::host_not_found);
  EXPECT_THAT(unknown.what(), HasSubstr("no-such-host.invalid"));
  EXPECT_THROW((void)group().makegateway("ssh=-F none no-such-host.invalid"), HostNotFound);

  const int port = sshd.port();
  sshd.kill();
  const auto refused = failure("ssh=-F none -p " + std::to_string(port) + " 127.0.0.1");
  EXPECT_EQ(refused.code(), errc::connection_refused);
  EXPECT_THAT(refused.what(), HasSubstr("port " + std::to_string(port)));
}

TEST_F(SshLoginTest, G1_an_unknown_host_key_is_refused_or_stored) {
  Sshd sshd;
  const auto storing_in = [&](const std::string& name, const std::string& options) {
    return "ssh=-F none -p " + std::to_string(sshd.port()) +
           " -o GlobalKnownHostsFile=none -o UserKnownHostsFile=" + (directory_ / name) + " -i " +
           sshd.file("user_key") + " " + options + " 127.0.0.1//python=python3";
  };
  const auto refused = failure(storing_in("new", ""));
  EXPECT_EQ(refused.code(), errc::host_key_unknown);
  EXPECT_THAT(refused.what(), AllOf(HasSubstr("SHA256:"), HasSubstr("accept-new")));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "new"));
  EXPECT_EQ(sshd.logins(), 0);

  EXPECT_TRUE(works(storing_in("new", "-o StrictHostKeyChecking=accept-new")));
  EXPECT_THAT(content(directory_ / "new"), HasSubstr("[127.0.0.1]:" + std::to_string(sshd.port()) + " "));
  EXPECT_TRUE(works(storing_in("new", "")));

  EXPECT_TRUE(works(storing_in("hashed", "-o StrictHostKeyChecking=accept-new -o HashKnownHosts=yes")));
  EXPECT_THAT(content(directory_ / "hashed"), AllOf(StartsWith("|1|"), Not(HasSubstr("127.0.0.1"))));
  EXPECT_TRUE(works(storing_in("hashed", "")));
}

TEST_F(SshLoginTest, G2_a_changed_host_key_ends_it_before_anything_secret_is_sent) {
  Sshd sshd;
  sshd.change_host_key();
  bool asked = false;
  group().set_ssh_askpass([&](const SshPrompt&) -> std::optional<std::string> {
    asked = true;
    return "secret";
  });
  for (const char* const strict : {"yes", "accept-new"}) {
    const auto changed = failure(spec(sshd, std::string("-o StrictHostKeyChecking=") + strict));
    EXPECT_EQ(changed.code(), errc::host_key_changed) << changed.what();
    EXPECT_THAT(changed.what(), AllOf(HasSubstr("SHA256:"), HasSubstr("ssh-keygen -f"), HasSubstr(":1")));
  }
  EXPECT_FALSE(asked);
  EXPECT_EQ(sshd.logins(), 0);
}

TEST_F(SshLoginTest, G3_known_hosts_of_every_kind) {
  Sshd sshd;
  const std::string line = content(sshd.file("known_hosts"));
  const std::string key = line.substr(line.find(' ') + 1);
  const std::string file = sshd.file("known_hosts");
  const auto write = [&](const std::string& text) { std::ofstream(file) << text; };

  write("# a comment\n\nnot a line\nother,127.0.0.* " + key);
  EXPECT_TRUE(works(spec(sshd)));
  write("127.0.0.1 " + key);
  run({"ssh-keygen", "-H", "-f", file});
  ASSERT_THAT(content(file), HasSubstr("|1|"));
  EXPECT_TRUE(works(spec(sshd, "-o BatchMode=yes")));  // other settings: another connection

  write("127.0.0.1 " + key + "@revoked * " + key);
  const auto revoked = failure(spec(sshd, "-o ConnectTimeout=11"));
  EXPECT_EQ(revoked.code(), errc::host_key_changed);
  EXPECT_THAT(revoked.what(), HasSubstr("revoked"));
  write("@cert-authority * " + key);
  EXPECT_EQ(failure(spec(sshd, "-o ConnectTimeout=12")).code(), errc::host_key_unknown);
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_THAT(failure(spec(sshd, "-o ConnectTimeout=13")).what(), HasSubstr("not a regular file"));
  std::filesystem::remove(file);
}

TEST_F(SshLoginTest, G4_what_was_tried_is_listed) {
  Sshd sshd;
  run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory_ / "wrong"});
  const auto refused = failure(spec(sshd, "-i " + (directory_ / "wrong") + " -i /no/such/key", false));
  EXPECT_EQ(refused.code(), errc::auth_failed);
  EXPECT_THAT(refused.what(), AllOf(HasSubstr("wrong: refused"), HasSubstr("/no/such/key: no such file"),
                                    HasSubstr("it takes: publickey")));
  std::filesystem::permissions(sshd.file("user_key"), std::filesystem::perms(0644));
  EXPECT_THAT(failure(spec(sshd)).what(), HasSubstr("others can read it"));
}

TEST_F(SshLoginTest, G4_a_passphrase_comes_from_the_program_or_from_ssh_askpass) {
  Sshd sshd;
  run({"ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", sshd.file("user_key")});
  EnvironmentScope no_askpass("SSH_ASKPASS", std::nullopt);
  const auto nobody = failure(spec(sshd));
  EXPECT_EQ(nobody.code(), errc::auth_failed);
  EXPECT_THAT(nobody.what(), HasSubstr("nobody to ask"));

  std::vector<SshPrompt> prompts;
  group().set_ssh_askpass([&](const SshPrompt& prompt) -> std::optional<std::string> {
    prompts.push_back(prompt);
    return "open sesame";
  });
  EXPECT_TRUE(works(spec(sshd)));
  ASSERT_EQ(prompts.size(), 1U);
  EXPECT_EQ(prompts[0].kind, SshPrompt::Kind::passphrase);
  EXPECT_EQ(prompts[0].key_file, sshd.file("user_key"));

  group().set_ssh_askpass([](const SshPrompt&) { return std::optional<std::string>("wrong"); });
  EXPECT_THAT(failure(spec(sshd, "-o ConnectTimeout=11")).what(), HasSubstr("wrong passphrase"));

  group().set_ssh_askpass(nullptr);
  directory_.write("askpass", "#!/bin/sh\ncase $1 in *user_key*) echo 'open sesame';; esac\n", true);
  EnvironmentScope askpass("SSH_ASKPASS", directory_ / "askpass");
  EXPECT_TRUE(works(spec(sshd, "-o ConnectTimeout=12")));
}

TEST_F(SshLoginTest, keys_come_from_the_agent_too) {
  Sshd sshd;
  const std::string socket = directory_ / "agent";
  detail::SpawnRequest request;
  request.argv = {"ssh-agent", "-D", "-a", socket};
  const detail::FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  request.descriptors = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
  auto agent = detail::ChildProcess::start(request);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(socket); }));
  {
    EnvironmentScope scope("SSH_AUTH_SOCK", socket);
    run({"ssh-add", "-q", sshd.file("user_key")});
  }
  const std::string options = "-o IdentityFile=none -o IdentityAgent=" + socket;
  EXPECT_TRUE(works("ssh=-F none -p " + std::to_string(sshd.port()) + " -o UserKnownHostsFile=" +
                    sshd.file("known_hosts") + " -o HostKeyAlias=127.0.0.1 " + options + " 127.0.0.1//python=python3"));

  // More keys than the server lets be tried, and the one that is named among them.
  Sshd strict({.config = {"MaxAuthTries 2"}});
  {
    EnvironmentScope scope("SSH_AUTH_SOCK", socket);
    run({"ssh-add", "-q", "-D"});
    for (const char* const name : {"a", "b", "c"}) {
      run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory_ / name});
      run({"ssh-add", "-q", directory_ / name});
    }
    run({"ssh-add", "-q", strict.file("user_key")});
  }
  const std::string named = "-o IdentityAgent=" + socket + " -i " + strict.file("user_key.pub");
  const std::string to_strict = "ssh=-F none -p " + std::to_string(strict.port()) +
                                " -o UserKnownHostsFile=" + strict.file("known_hosts") + " -o HostKeyAlias=127.0.0.1 ";
  EXPECT_TRUE(works(to_strict + named + " 127.0.0.1//python=python3"));
  EXPECT_TRUE(works(to_strict + named + " -o IdentitiesOnly=yes 127.0.0.1//python=python3"));
  EXPECT_EQ(failure(to_strict + "-o IdentityAgent=" + socket + " -o IdentitiesOnly=yes -i " + (directory_ / "a.pub") +
                    " 127.0.0.1")
                .code(),
            errc::auth_failed);
  agent.signal(SIGTERM);
  (void)agent.wait_for(patience);
}

TEST_F(SshLoginTest, certificates_are_used) {
  run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory_ / "ca"});
  run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory_ / "key"});
  run({"ssh-keygen", "-q", "-s", directory_ / "ca", "-I", "test", "-n", Sshd::user(), directory_ / "key.pub"});
  Sshd sshd({.config = {"TrustedUserCAKeys " + (directory_ / "ca.pub")}});
  EXPECT_TRUE(works(spec(sshd, "-i " + (directory_ / "key"), false)));
  EXPECT_GE(sshd.logged("ED25519-CERT"), 1);
}

}  // namespace
}  // namespace gangway::test
