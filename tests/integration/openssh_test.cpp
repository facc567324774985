// ssh_client=openssh, against a real sshd.
#include <gmock/gmock.h>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "tests/support/poll.hpp"
#include "tests/support/ssh_gateways.hpp"

namespace gangway::test {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using ::testing::Not;

class OpenSsh : public SshGateways {
 protected:
  OpenSsh() : SshGateways("openssh") {}

  /// A third of its time, for another one's login, is much even on a busy machine.
  [[nodiscard]] std::string patient_spec() const { return spec("private", "connect_timeout=120"); }
  [[nodiscard]] std::string without_key() {
    return "ssh=-p " + std::to_string(sshd().port()) +
           " -i /no/key -o IdentityAgent=none -o IdentitiesOnly=yes -o UserKnownHostsFile=" +
           sshd().file("known_hosts") + " 127.0.0.1//ssh_config=/dev/null//" + client();
  }
};

TEST_F(OpenSsh, starts_an_agent_and_carries_data_both_ways) {
  serve();
  Gateway gateway = start();
  EXPECT_EQ(gateway.info().agent, "portable");
  EXPECT_THAT(gateway.info().executable, HasSubstr("python"));
  Channel echo = gateway.remote_exec("while 1: channel.send(channel.receive())");
  const Bytes big = zeros(3'000'000);
  echo.send(big);
  EXPECT_EQ(take(echo).as_bytes().size(), big.size());
  EXPECT_EQ(ask(gateway, "import os; channel.send(os.environ['GANGWAY_COOKIE'])").as_str(), cookie());
  EXPECT_THAT(ask(gateway, "import os; channel.send(os.environ['SSH_CONNECTION'])").as_str(), HasSubstr("127.0.0.1"));
}

TEST_F(OpenSsh, takes_options_as_ssh_does) {
  Sshd& sshd = serve();
  const auto works = [&](const std::string& words) {
    return ask<int>(group().makegateway("ssh=" + words + "//" + client()), "channel.send(1)") == 1;
  };
  const std::string known = " -o UserKnownHostsFile=" + sshd.file("known_hosts") + " -o IdentitiesOnly=yes";
  const std::string port = std::to_string(sshd.port());
  EXPECT_TRUE(
      works("-p " + port + " -l " + Sshd::user() + " -i " + sshd.file("user_key") + " -4 -C 127.0.0.1" + known));
  EXPECT_TRUE(works(Sshd::user() + "@127.0.0.1 -p" + port + " -i " + sshd.file("user_key") + known));
  EXPECT_TRUE(works("-F " + sshd.file("ssh_config") + " -J jump private"));
}

TEST_F(OpenSsh, gateways_of_a_group_share_one_login) {
  Sshd& sshd = serve();
  Gateway first = start();
  EXPECT_EQ(sshd.logins(), 1);
  Gateway second = start();
  Gateway third = start();
  EXPECT_EQ(sshd.logins(), 1);
  first.exit();
  EXPECT_EQ(ask<int>(second, "channel.send(2)"), 2) << "the first one's end is not the end of the connection";
  EXPECT_EQ(ask<int>(third, "channel.send(3)"), 3);
}

TEST_F(OpenSsh, the_shared_connection_ends_with_the_group) {
  Sshd& sshd = serve();
  (void)start();
  (void)group().terminate(5s);
  EXPECT_TRUE(eventually([&] { return sshd.connections().empty(); }, 3s)) << "long before it would have been idle";
  Gateway again = start();
  EXPECT_EQ(sshd.logins(), 2);
  EXPECT_EQ(ask<int>(again, "channel.send(1)"), 1);
}

TEST_F(OpenSsh, more_gateways_than_the_server_allows_sessions) {
  serve({.config = {"MaxSessions 2"}});
  std::vector<Gateway> all;
  for (int i = 0; i < 5; ++i) all.push_back(start());
  for (const Gateway& gateway : all) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_F(OpenSsh, many_gateways_started_at_once) {
  Sshd& sshd = serve();
  const auto all = group().makegateways(std::vector<std::string>(8, patient_spec()));
  for (const Gateway& gateway : all) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 1) << "the others waited for the first one";
  EXPECT_EQ(sshd.sessions(), 8);
}

TEST_F(OpenSsh, many_gateways_started_at_once_that_cannot_share_log_in_each) {
  Sshd& sshd = serve();
  const auto all = group().makegateways(std::vector<std::string>(3, spec("-o ControlMaster=no private")));
  for (const Gateway& gateway : all) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 3);
}

TEST_F(OpenSsh, many_gateways_started_at_once_that_cannot_log_in_fail_each) {
  Sshd& sshd = serve();
  const std::string bad = without_key();
  std::vector<std::future<errc>> failures;
  for (int i = 0; i < 3; ++i)
    failures.push_back(std::async(std::launch::async, [&] { return static_cast<errc>(failure(bad).code().value()); }));
  for (auto& each : failures) EXPECT_EQ(each.get(), errc::auth_failed);
  EXPECT_EQ(sshd.logins(), 0);
}

// Its first caller is an ssh that never logs in.
TEST_F(OpenSsh, a_login_that_hangs_is_not_waited_for_longer_than_a_third_of_the_time) {
  Sshd& sshd = serve();
  TemporaryDirectory programs;
  (void)programs.write("ssh",
                       "#!/bin/sh\nmkdir " + (programs / "hangs") +
                           " 2>/dev/null && exec sleep 1000\n"
                           "exec /usr/bin/ssh \"$@\"\n",
                       true);
  const EnvironmentScope path("PATH", programs.path() + ":" + std::getenv("PATH"));
  const auto hanging =
      std::async(std::launch::async, [&] { EXPECT_THROW((void)group().makegateway(spec()), ConnectionLost); });
  ASSERT_TRUE(eventually([&] { return fs::exists(programs / "hangs"); }, patience));
  Gateway gateway = start();
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 1);
  (void)group().terminate(500ms);
}

TEST_F(OpenSsh, gateways_that_wait_for_a_login_end_with_the_group) {
  serve();
  TemporaryDirectory programs;
  (void)programs.write("ssh", "#!/bin/sh\necho >>" + (programs / "calls") + "\nexec sleep 1000\n", true);
  const EnvironmentScope path("PATH", programs.path() + ":" + std::getenv("PATH"));
  std::vector<std::future<void>> all;
  for (int i = 0; i < 3; ++i)
    all.push_back(
        std::async(std::launch::async, [&] { EXPECT_THROW((void)group().makegateway(patient_spec()), Error); }));
  const auto calls = [&] {
    std::error_code not_yet;
    return fs::file_size(programs / "calls", not_yet);
  };
  ASSERT_TRUE(eventually([&] { return calls() == 1 && group().size() == 3; }, patience));
  EXPECT_TRUE(group().terminate(100ms).survivors.empty());
  for (auto& each : all) each.get();
  EXPECT_EQ(calls(), 1U) << "the others were not started any more";
}

TEST_F(OpenSsh, what_is_said_of_the_connection_is_not_shared_with_those_that_say_something_else) {
  Sshd& sshd = serve();
  (void)start();
  (void)start("compress=on");
  EXPECT_EQ(sshd.logins(), 2);
  (void)start("compress=on");
  (void)start("compress=9");
  EXPECT_EQ(sshd.logins(), 2);
}

TEST_F(OpenSsh, errors_say_what_is_wrong) {
  Sshd& sshd = serve();
  EXPECT_EQ(failure("ssh=no-such-host.invalid//" + client()).code(), errc::host_not_found);
  EXPECT_EQ(failure(spec("private -p 1")).code(), errc::connection_refused);

  const StartError login = failure(without_key());
  EXPECT_EQ(login.code(), errc::auth_failed) << login.what();
  EXPECT_THAT(login.what(), HasSubstr("(publickey)"));

  const StartError unknown = failure(spec("private -o UserKnownHostsFile=/dev/null"));
  EXPECT_EQ(unknown.code(), errc::host_key_unknown) << unknown.what();
  EXPECT_THAT(unknown.what(), HasSubstr("accept-new"));
  TemporaryDirectory directory;
  EXPECT_EQ(ask<int>(group().makegateway(spec("private -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=" +
                                              (directory / "known"))),
                     "channel.send(1)"),
            1);
  (void)group().terminate(5s);  // and the connection that another one would share
  sshd.change_host_key();
  const StartError changed = failure();
  EXPECT_EQ(changed.code(), errc::host_key_changed) << changed.what();
  EXPECT_THAT(changed.what(), HasSubstr("ssh-keygen -R"));
}

TEST_F(OpenSsh, bad_specs_are_refused_before_anything_starts) {
  serve();
  for (const char* const bad : {"-oProxyCommand=x", "a;b@private", "private uptime", "-N private"})
    EXPECT_THROW((void)group().makegateway(spec(bad)), SpecError) << bad;
  EXPECT_THROW((void)group().makegateway("ssh=private//ssh_client=putty"), SpecError);
}

TEST_F(OpenSsh, a_server_that_hangs_up_before_the_login) {
  Sshd& sshd = serve({.config = {"MaxStartups 1:100:1", "LoginGraceTime 100"}});
  // Somebody else holds the only place.
  detail::SpawnRequest request;
  const std::string hold =
      "exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(sshd.port()) + "; read -u 3 line; exec sleep 100";
  request.argv = {"bash", "-c", hold};
  auto holder = detail::ChildProcess::start(request);
  ASSERT_TRUE(eventually([&] { return sshd.connections().size() >= 1; }, patience));
  const StartError error = failure(spec("private", "connect_timeout=5"));
  EXPECT_THAT(error.what(), HasSubstr("MaxStartups")) << error.what();
  EXPECT_EQ(error.code(), errc::host_unreachable);
  const int turned_away = sshd.logged("past MaxStartups");
  EXPECT_GE(turned_away, 1);

  auto gateways =
      std::async(std::launch::async, [&] { return group().makegateways(std::vector<std::string>(3, patient_spec())); });
  EXPECT_TRUE(eventually([&] { return sshd.logged("past MaxStartups") > turned_away + 1; }, patience))
      << "it is tried again";
  holder.signal_group(SIGKILL);
  for (const Gateway& gateway : gateways.get()) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(sshd.logins(), 1);
}

TEST_F(OpenSsh, a_proxy_that_ends_at_once_is_not_tried_again) {
  serve();
  TemporaryDirectory directory;
  const std::string program = directory.write("proxy", "#!/bin/sh\necho >>" + (directory / "calls") + "\n", true);
  EXPECT_EQ(failure(spec("-o ProxyCommand=" + program + " private")).code(), errc::host_unreachable);
  EXPECT_EQ(fs::file_size(directory / "calls"), 1U);
}

// --- the end

TEST_F(OpenSsh, kill_of_the_client_leaves_nothing) {
  serve();
  Gateway gateway = start();
  Channel busy = gateway.remote_exec("import time\nchannel.send(1)\nwhile True: time.sleep(1)");
  EXPECT_EQ(take<int>(busy), 1);
  gateway.kill();
  EXPECT_THROW(busy.waitclose(patience), ConnectionLost);
  (void)group().terminate(1s);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 12s));
}

TEST_F(OpenSsh, death_of_the_server_is_a_lost_connection_for_all) {
  Sshd& sshd = serve();
  Gateway first = start();
  Gateway second = start();
  Channel one = first.remote_exec("channel.receive()");
  Channel two = second.remote_exec("channel.receive()");
  sshd.kill();
  EXPECT_THROW(one.waitclose(patience), ConnectionLost);
  EXPECT_THROW(two.waitclose(patience), ConnectionLost);
  (void)group().terminate(1s);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 12s));
}

TEST_F(OpenSsh, terminate_is_in_time_when_the_task_does_not_end) {
  serve();
  Gateway gateway = start();
  Channel busy = gateway.remote_exec("import os, signal\nchannel.send(1)\nos.kill(os.getpid(), signal.SIGSTOP)");
  EXPECT_EQ(take<int>(busy), 1);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(group().terminate(500ms).survivors.empty());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2500ms);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 12s)) << "the far keeper ends a stopped agent";
}

// --- secrets

TEST_F(OpenSsh, a_passphrase_by_askpass_is_seen_nowhere) {
  Sshd& sshd = serve();
  const std::string secret = "open-sesame-4711";
  TemporaryDirectory directory;
  ASSERT_EQ(std::system(("cp -p " + sshd.file("user_key") + " " + (directory / "key") +
                         " && ssh-keygen -q -p -P '' -N " + secret + " -f " + (directory / "key") + " >/dev/null")
                            .c_str()),
            0);
  (void)directory.write("secret", secret + "\n");
  const EnvironmentScope askpass("SSH_ASKPASS",
                                 directory.write("askpass", "#!/bin/sh\ncat " + (directory / "secret") + "\n", true));
  Gateway gateway = group().makegateway("ssh=-p " + std::to_string(sshd.port()) + " -i " + (directory / "key") +
                                        " -o IdentitiesOnly=yes -o IdentityAgent=none -o UserKnownHostsFile=" +
                                        sshd.file("known_hosts") + " 127.0.0.1//ssh_config=/dev/null//" + client());
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  for (const Survivor& process : find_survivors(cookie())) {
    for (const char* const file : {"/cmdline", "/environ"}) {
      std::ifstream stream("/proc/" + std::to_string(process.pid) + file, std::ios::binary);
      const std::string content{std::istreambuf_iterator<char>(stream), {}};
      EXPECT_EQ(content.find(secret), content.npos) << process.command;
    }
  }
  EXPECT_THAT(sshd.log(), Not(HasSubstr(secret)));
}

TEST_F(OpenSsh, without_askpass_nobody_is_asked) {
  Sshd& sshd = serve();
  TemporaryDirectory directory;
  const EnvironmentScope none("SSH_ASKPASS", std::nullopt);
  ASSERT_EQ(std::system(("cp -p " + sshd.file("user_key") + " " + (directory / "key") +
                         " && ssh-keygen -q -p -P '' -N secret -f " + (directory / "key") + " >/dev/null")
                            .c_str()),
            0);
  const StartError error =
      failure("ssh=-p " + std::to_string(sshd.port()) + " -i " + (directory / "key") +
              " -o IdentitiesOnly=yes -o IdentityAgent=none -o UserKnownHostsFile=" + sshd.file("known_hosts") +
              " 127.0.0.1//ssh_config=/dev/null//" + client());
  EXPECT_EQ(error.code(), errc::auth_failed) << error.what();
}

}  // namespace
}  // namespace gangway::test
