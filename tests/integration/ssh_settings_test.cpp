// What a spec and the configuration files say about an ssh connection. No I/O but those files.
#include <gmock/gmock.h>

#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>

#include "gateways/ssh_agent_filter.hpp"
#include "gateways/ssh_config.hpp"
#include "gateways/ssh_settings.hpp"
#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using detail::ssh_settings;
using detail::SshSettings;
using detail::StrictHostKeys;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class SshSettingsTest : public ::testing::Test {
 protected:
  SshSettings with_config(const std::string& config, const std::string& ssh = "box") {
    return ssh_settings(XSpec("ssh=" + ssh + "//ssh_config=" + directory_.write("config", config)));
  }
  std::string error_of(const std::string& ssh, const std::string& config = "") {
    try {
      (void)with_config(config, ssh);
    } catch (const Error& problem) {
      EXPECT_EQ(problem.code(), errc::bad_spec);
      return problem.what();
    }
    return "no error";
  }
  TemporaryDirectory directory_;
};

TEST_F(SshSettingsTest, options_are_read_as_by_ssh) {
  const auto settings =
      with_config("", "-C4p2222 -l joe -i /k1 -o IdentityFile=/k2 -oServerAliveInterval=5 -o 'User other' box");
  EXPECT_EQ(settings.host, "box");
  EXPECT_EQ(settings.port, 2222);
  EXPECT_EQ(settings.user, "joe");
  EXPECT_EQ(settings.compression, 6);
  EXPECT_EQ(settings.family, AF_INET);
  EXPECT_THAT(settings.identity_files, ElementsAre("/k1", "/k2"));
  EXPECT_EQ(with_config("", "joe@box -p 7").user, "joe");
  EXPECT_EQ(with_config("", "-l first other@box").user, "first");
}

TEST_F(SshSettingsTest, the_first_value_counts) {
  const auto settings = with_config(
      "Port 1\n"
      "Host other\n  Port 2\n  HostName wrong\n"
      "Host b?x !bax\n  HostName %h.example.org\n  Port 3\n  IdentityFile ~/%r_%h\n"
      "Host *\n  User=joe\n  StrictHostKeyChecking accept-new # as asked\n");
  EXPECT_EQ(settings.host, "box.example.org");
  EXPECT_EQ(settings.port, 1);
  EXPECT_EQ(settings.user, "joe");
  EXPECT_EQ(settings.strict_host_keys, StrictHostKeys::accept_new);
  EXPECT_THAT(settings.identity_files, ElementsAre(EndsWith("/joe_box.example.org")));
  EXPECT_EQ(with_config("Port 1\n", "-p 9 box").port, 9);
  EXPECT_THAT(error_of("box", "HostName %p.example.org\n"), HasSubstr("an unknown % in %p.example.org"));
}

TEST_F(SshSettingsTest, compress_is_stronger_than_the_configuration) {
  const auto level = [&](const std::string& ssh, const std::string& more, const std::string& config) {
    return ssh_settings(XSpec("ssh=" + ssh + "//ssh_config=" + directory_.write("config", config) + more)).compression;
  };
  EXPECT_EQ(level("box", "", ""), 0);
  EXPECT_EQ(level("box", "", "Compression yes\n"), 6);
  EXPECT_EQ(level("box", "//compress=off", "Compression yes\n"), 0);
  EXPECT_EQ(level("-o Compression=yes box", "//compress=0", ""), 0);
  EXPECT_EQ(level("box", "//compress=9", "Compression no\n"), 9);
  EXPECT_EQ(level("-C box", "//compress=1", ""), 1);
  EXPECT_EQ(level("box", "//compress", ""), 6);
  EXPECT_THROW((void)level("-C box", "//compress=off", ""), SpecError);
  EXPECT_THROW((void)level("box", "//compress=10", ""), SpecError);
}

TEST_F(SshSettingsTest, match_and_include) {
  directory_.write("more", "Port 44\n");
  const auto settings =
      with_config("Match originalhost box,bux user joe\n  Include " + (directory_ / "mor*") +
                      "\nMatch user root\n  Compression yes\nMatch final host box.x\n  BatchMode yes\n"
                      "Match all\n  HostName box.x\n",
                  "joe@box");
  EXPECT_EQ(settings.port, 44);
  EXPECT_EQ(settings.compression, 0);
  EXPECT_TRUE(settings.batch_mode);
  EXPECT_THAT(error_of("box", "Match exec \"true\"\n  Port 4\n"), HasSubstr("ssh_client=openssh"));
  EXPECT_THAT(error_of("box", "Include " + (directory_ / "config") + "\n"), HasSubstr("too many levels"));
}

TEST_F(SshSettingsTest, match_is_judged_up_to_what_does_not_hold) {
  const auto settings = with_config(
      "Match originalhost other exec \"false\"\n  Port 1\n"
      "Host box\n  HostName %h.example.org\n"
      "Match host box.example.org\n  Port 2\n");
  EXPECT_EQ(settings.port, 2);
  EXPECT_THAT(error_of("box", "Match exec\n  Port 4\n"), HasSubstr("no value"));
}

TEST_F(SshSettingsTest, included_files_of_the_user_are_below_his_ssh_directory_and_his_alone) {
  ASSERT_TRUE(std::filesystem::create_directory(directory_ / ".ssh"));
  const std::string more = directory_.write(".ssh/more", "Port 44\n");
  const std::string file = directory_.write("config", "Include more\n");
  const auto port = [&] {
    detail::SshConfig config("box", {}, {"joe", directory_ / ""});
    config.read_file(file);
    return config.get("port");
  };
  EXPECT_EQ(port(), "44");
  ASSERT_EQ(::chmod(more.c_str(), 0666), 0);
  EXPECT_THROW((void)port(), SpecError);
}

TEST_F(SshSettingsTest, jumps_are_hosts_with_a_configuration_of_their_own) {
  const auto settings = with_config("Host inner\n  Port 2\nHost gate\n  User guard\n", "-J joe@outer:5,gate inner");
  ASSERT_EQ(settings.jumps.size(), 1U);
  const SshSettings& gate = settings.jumps.front();
  EXPECT_EQ(gate.destination(), "guard@gate");
  ASSERT_EQ(gate.jumps.size(), 1U);
  EXPECT_EQ(gate.jumps.front().destination(), "joe@outer:5");
  EXPECT_THAT(error_of("a", "Host *\n  ProxyJump b\n"), HasSubstr("ProxyJump"));
  EXPECT_EQ(with_config("Host box\n  ProxyCommand nc -X \"a b\" %h %p # all\n").proxy_command,
            "nc -X \"a b\" box 22 # all");
}

TEST_F(SshSettingsTest, names_that_could_be_commands_are_refused) {
  for (const char* const name :
       {"-oProxyCommand=x box -x-", "a;b", "'a b'", "$(id)", "joe@a`id`", "'joe|x@a'", "'-x@a'", "\"a\\\"b\""})
    EXPECT_NE(error_of(name), "no error") << name;
  EXPECT_THAT(error_of("box", "HostName a;b\n"), HasSubstr("no name can have"));
  EXPECT_THAT(error_of("box", "User $USER\n"), HasSubstr("no name can have"));
  EXPECT_THROW((void)ssh_settings(XSpec("ssh=a\nb")), SpecError);
}

TEST_F(SshSettingsTest, mistakes_are_pointed_at) {
  EXPECT_THAT(error_of("-Q box"), HasSubstr("ssh_client=openssh"));
  EXPECT_THAT(error_of("box ls"), HasSubstr("behind the host"));
  EXPECT_THAT(error_of("-p"), HasSubstr("needs an argument"));
  EXPECT_THAT(error_of("-C"), HasSubstr("no host"));
  EXPECT_THAT(error_of("-p 70000 box"), HasSubstr("port cannot be 70000"));
  EXPECT_THAT(error_of("box", "User \"joe\n"), HasSubstr("config:1: a quote is not closed"));
  EXPECT_THAT(error_of("box", "\nStrictHostKeyChecking maybe\n"), HasSubstr("cannot be maybe"));
  EXPECT_THROW((void)ssh_settings(XSpec("ssh=box//ssh_config=/no/such/file")), Error);
  EXPECT_THROW((void)ssh_settings(XSpec("ssh=box//ssh_config=/dev/zero")), Error);
  EXPECT_THROW((void)ssh_settings(XSpec("ssh=box//ssh_config=/")), Error);
}

TEST_F(SshSettingsTest, known_hosts_names) {
  EXPECT_EQ(with_config("").known_hosts_name(), "box");
  EXPECT_EQ(with_config("Port 2222\n").known_hosts_name(), "[box]:2222");
  EXPECT_EQ(with_config("Port 2222\nHostKeyAlias Other\n").known_hosts_name(), "other");
}

TEST(SshPatterns, match_as_in_ssh_config) {
  using detail::matches_patterns;
  EXPECT_TRUE(matches_patterns("a.example.org", {"*.example.*"}));
  EXPECT_TRUE(matches_patterns("abc", {"a?c"}));
  EXPECT_FALSE(matches_patterns("abc", {"*", "!a*"}));
  EXPECT_FALSE(matches_patterns("abc", {"!x"}));
  EXPECT_FALSE(matches_patterns(std::string(50'000, 'a'), {"*a*a*a*a*a*a*a*a*a*b"}));
}

TEST(SshAgentFilter, puts_the_named_keys_first_or_alone) {
  using detail::filter_identities;
  const auto text = [](const std::string& bytes) {
    return std::string(3, '\0') + static_cast<char>(bytes.size()) + bytes;
  };
  const auto list = [&](const std::vector<std::string>& keys) {
    std::string message = std::string("\x0c") + std::string(3, '\0') + static_cast<char>(keys.size());
    for (const std::string& key : keys) message += text(key) + text("comment of " + key);
    return message;
  };
  EXPECT_EQ(filter_identities(list({"a", "b", "c"}), {"c", "x"}, false), list({"c", "a", "b"}));
  EXPECT_EQ(filter_identities(list({"a", "b", "c"}), {"c", "b"}, true), list({"c", "b"}));
  EXPECT_EQ(filter_identities("\x05", {"c"}, true), "\x05");
  std::string broken = list({"a", "b"});
  broken.resize(broken.size() - 1);
  EXPECT_EQ(filter_identities(broken, {}, false), std::nullopt);
  EXPECT_EQ(filter_identities(std::string("\x0c\xff\xff\xff\xff", 5), {}, false), std::nullopt);
  EXPECT_EQ(detail::decode_base64("AAAAB3M="), std::string("\0\0\0\x07s", 5));
}

}  // namespace
}  // namespace gangway::test
