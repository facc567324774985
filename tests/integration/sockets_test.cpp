// `socket=` and `unix=`: gateways through a gwserver.
#include <gmock/gmock.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "gateways/socket_address.hpp"

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/server_process.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Sockets : public GroupTest {
 protected:
  [[nodiscard]] std::string path() const { return directory_ / "socket"; }
  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }
  std::string secret_file(const std::string& text = "0123456789abcdef0123456789abcdef\n") {
    std::string file = directory_.write("secret" + std::to_string(++secrets_), text);
    EXPECT_EQ(::chmod(file.c_str(), 0600), 0);
    return file;
  }
  [[nodiscard]] std::string failure(const std::string& spec) {
    try {
      (void)group().makegateway(spec);
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "started: " << spec;
    return {};
  }

 private:
  TemporaryDirectory directory_;
  int secrets_ = 0;
};

TEST_F(Sockets, unix_path_gives_a_native_agent) {
  ServerProcess server({path()});
  Gateway gateway = group().makegateway("unix=" + path());
  EXPECT_EQ(gateway.info().agent, "native");
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
  EXPECT_TRUE(group().terminate(5s).killed.empty());
}

TEST_F(Sockets, loopback_port_gives_a_native_agent) {
  ServerProcess server({"127.0.0.1:0"});
  Gateway gateway = group().makegateway(server.socket_spec());
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
}

TEST_F(Sockets, abstract_name_works) {
  const std::string name = "@gangway-test-" + cookie();
  ServerProcess server({name});
  EXPECT_EQ(ask<int>(group().makegateway("unix=" + name), "channel.send(1)"), 1);
}

TEST_F(Sockets, names_and_ipv6_work) {
  ServerProcess server({"localhost:0"});
  const std::string port = server.address().substr(server.address().rfind(':') + 1);
  EXPECT_EQ(ask<int>(group().makegateway("socket=localhost:" + port), "channel.send(1)"), 1);
  ServerProcess six({"[::1]:0"});
  if (six.address().empty()) GTEST_SKIP() << "no IPv6 here: " << six.log();
  EXPECT_EQ(ask<int>(group().makegateway(six.socket_spec()), "channel.send(1)"), 1);
}

TEST_F(Sockets, many_gateways_of_one_server_are_processes_of_their_own) {
  ServerProcess server({path()});
  const auto all = group().makegateways(std::vector<std::string>(8, "unix=" + path()));
  std::set<std::int64_t> pids;
  for (const Gateway& gateway : all) pids.insert(gateway.info().pid);
  EXPECT_EQ(pids.size(), 8u);
  for (const Gateway& gateway : all) EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_F(Sockets, spec_keys_reach_the_agent) {
  ServerProcess server({path()});
  const std::string keys = "//chdir=" + directory().path() + "//env:COLOUR=blue//dont_write_bytecode//id=a";
  Gateway gateway = group().makegateway("unix=" + path() + keys);
  EXPECT_EQ(ask<std::string>(gateway, "import os; channel.send(os.getcwd())"), directory().path());
  EXPECT_EQ(ask<std::string>(gateway, "import os; channel.send(os.environ['COLOUR'])"), "blue");
  EXPECT_EQ(ask(gateway, "import sys; channel.send(sys.dont_write_bytecode)"), Value(true));
}

TEST_F(Sockets, portable_agent_in_the_interpreter_of_the_server) {
  ServerProcess server({path(), "--python", GANGWAY_PYTHON});
  Gateway gateway = group().makegateway("unix=" + path());
  EXPECT_EQ(gateway.info().agent, "portable");
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
}

TEST_F(Sockets, large_items_go_both_ways) {
  ServerProcess plain({"127.0.0.1:0"});
  ServerProcess encrypted({"127.0.0.1:0", "--secret-file", secret_file()});
  for (const std::string& spec : {plain.socket_spec(), encrypted.socket_spec() + "//secret_file=" + secret_file()}) {
    Channel echo = group().makegateway(spec).remote_exec("for item in channel: channel.send(item)");
    Bytes bytes = zeros(20'000'000);
    for (std::size_t at = 0; at < bytes.size(); at += 997) bytes.data()[at] = static_cast<std::byte>(at);
    for (int round = 0; round < 3; ++round) echo.send(bytes);
    for (int round = 0; round < 3; ++round) EXPECT_TRUE(take(echo) == Value(bytes));
  }
}

// --- secrets

TEST_F(Sockets, secret_of_both_sides_opens) {
  ServerProcess server({"127.0.0.1:0", "--secret-file", secret_file()});
  Gateway gateway = group().makegateway(server.socket_spec() + "//secret_file=" + secret_file());
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
  const EnvironmentScope environment("GANGWAY_SECRET", "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(ask<int>(group().makegateway(server.socket_spec()), "channel.send(1)"), 1);
}

TEST_F(Sockets, wrong_or_missing_secrets_are_told_what_to_do) {
  ServerProcess server({"127.0.0.1:0", "--secret-file", secret_file()});
  const std::string wrong = secret_file("another secret that is long enough");
  EXPECT_THAT(failure(server.socket_spec() + "//secret_file=" + wrong),
              AllOf(HasSubstr("refuses the secret"), HasSubstr("secret_file=")));
  EXPECT_THAT(failure(server.socket_spec()), AllOf(HasSubstr("wants a secret"), HasSubstr("GANGWAY_SECRET")));
  // One second after the failure, and not before.
  Gateway gateway = group().makegateway(server.socket_spec() + "//secret_file=" + secret_file());
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_F(Sockets, secret_for_a_server_without_one_is_refused) {
  ServerProcess server({"127.0.0.1:0"});
  EXPECT_THAT(failure(server.socket_spec() + "//secret_file=" + secret_file()), HasSubstr("secret"));
}

TEST_F(Sockets, bad_secret_files_are_named) {
  const auto open = directory().write("open", "0123456789abcdef");
  EXPECT_EQ(::chmod(open.c_str(), 0644), 0);
  EXPECT_THAT(failure("socket=127.0.0.1:1//secret_file=" + open), HasSubstr("chmod 600"));
  EXPECT_THAT(failure("socket=127.0.0.1:1//secret_file=" + secret_file("short")), HasSubstr("at least 16"));
  EXPECT_THAT(failure("socket=127.0.0.1:1//secret_file=/nowhere/at/all"), HasSubstr("cannot be read"));
  ServerProcess server({"127.0.0.1:0", "--secret-file", open});
  EXPECT_EQ(server.address(), "");
  EXPECT_THAT(server.log(), HasSubstr("chmod 600"));
}

TEST_F(Sockets, secret_is_nowhere_to_be_seen) {
  const std::string secret = "very secret word 4711 of this test";
  ServerProcess server({"127.0.0.1:0"}, {{"GANGWAY_SECRET_FILE", secret_file(secret)}});
  const EnvironmentScope environment("GANGWAY_SECRET", secret);
  Gateway gateway = group().makegateway(server.socket_spec());
  Gateway local = group().makegateway("popen");
  for (Gateway& each : {std::ref(gateway), std::ref(local)})
    EXPECT_EQ(ask<std::string>(each, "import os; channel.send(repr(os.environ) + open('/proc/self/cmdline').read())")
                  .find(secret),
              std::string::npos);
  EXPECT_EQ(server.log().find(secret), std::string::npos);
  for (const Survivor& process : find_survivors(cookie())) {
    std::ifstream file("/proc/" + std::to_string(process.pid) + "/environ");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}).find(secret), std::string::npos) << process.command;
    EXPECT_EQ(process.command.find(secret), std::string::npos);
  }
}

TEST_F(Sockets, beyond_loopback_only_with_a_secret) {
  ServerProcess open({"0.0.0.0:0"});
  EXPECT_EQ(open.address(), "");
  EXPECT_THAT(open.log(), AllOf(HasSubstr("without a secret"), HasSubstr("--secret-file")));
  ServerProcess server({"0.0.0.0:0", "--secret-file", secret_file()});
  const std::string port = server.address().substr(server.address().rfind(':'));
  Gateway gateway = group().makegateway("socket=127.0.0.1" + port + "//secret_file=" + secret_file());
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

// --- errors

TEST_F(Sockets, failures_are_told_apart) {
  EXPECT_THROW((void)group().makegateway("socket=no-such-host.invalid:8888"), HostNotFound);
  try {
    (void)group().makegateway("socket=127.0.0.1:1");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), boost::system::error_code(ECONNREFUSED, boost::system::system_category()));
    EXPECT_THAT(error.what(), HasSubstr("cannot connect to 127.0.0.1:1: Connection refused"));
  }
  EXPECT_THAT(failure("unix=@gangway-nobody-listens"),
              HasSubstr("cannot connect to @gangway-nobody-listens: Connection refused; is a gwserver running there?"));
  EXPECT_THAT(failure("unix=/nowhere/at/all"), AllOf(HasSubstr("/nowhere/at/all"), HasSubstr("No such file")));
  EXPECT_THAT(failure("socket=127.0.0.1"), HasSubstr("a port is missing"));
  EXPECT_THAT(failure("socket=::1:80"), HasSubstr("[address]:port"));
  EXPECT_THAT(failure("socket=127.0.0.1:99999"), HasSubstr("a port is a number"));
  EXPECT_THAT(failure("socket=127.0.0.1:80//python=python3"), HasSubstr("python"));
  EXPECT_THAT(failure("unix=/x//via=gw0"), HasSubstr("via="));
}

TEST_F(Sockets, server_that_says_nothing_is_a_timeout_with_a_reason) {
  const detail::FileDescriptor silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = detail::SocketAddress::numeric({"127.0.0.1", 0}).at(0);
  ASSERT_EQ(::bind(silent.get(), address.get(), address.size), 0);
  ASSERT_EQ(::listen(silent.get(), 5), 0);
  const std::string where = detail::SocketAddress::local(silent.get()).text();
  EXPECT_THAT(failure("socket=" + where + "//connect_timeout=300ms"), HasSubstr("does not answer"));
}

TEST_F(Sockets, kill_says_who_it_was) {
  ServerProcess server({path()});
  Gateway gateway = group().makegateway("unix=" + path());
  Channel channel = gateway.remote_exec("channel.receive()");
  gateway.kill();
  EXPECT_THAT(lost(channel).what(), HasSubstr("closed by this program"));
}

// --- what the server does not show

TEST_F(Sockets, a_secret_of_the_environment_is_in_no_environment_and_no_trace) {
  const std::string secret = "0123456789abcdef-of-the-environment";
  ServerProcess server({"127.0.0.1:0"}, {{"GANGWAY_SECRET", secret}, {"GANGWAY_DEBUG", "2"}});
  Gateway gateway = group().makegateway(server.socket_spec() + "//secret_file=" + secret_file(secret));
  EXPECT_FALSE(ask<bool>(gateway, "import os; channel.send('GANGWAY_SECRET' in os.environ)"));
  EXPECT_THAT(failure(server.socket_spec()), HasSubstr("secret"));
  for (const auto pid : {server.pid(), static_cast<pid_t>(gateway.info().pid)}) {
    std::ifstream environ("/proc/" + std::to_string(pid) + "/environ");
    const std::string text{std::istreambuf_iterator<char>(environ), {}};
    EXPECT_THAT(text, AllOf(HasSubstr("GANGWAY_DEBUG=2"), Not(HasSubstr(secret))));
  }
  EXPECT_THAT(server.log(), AllOf(HasSubstr("gangway"), Not(HasSubstr(secret))));
}

// Processes that were forked from one interpreter have its seed of hashes.
TEST_F(Sockets, agents_come_from_one_that_is_warm_unless_they_shall_be_cold) {
  const auto hash = [&] {
    return ask<std::int64_t>(group().makegateway("unix=" + path()), "channel.send(hash('text'))");
  };
  {
    ServerProcess server({path()});
    std::int64_t before = hash();
    EXPECT_TRUE(eventually([&] { return std::exchange(before, hash()) == before; }));
  }
  ServerProcess server({path(), "--cold"});
  EXPECT_EQ((std::set<std::int64_t>{hash(), hash(), hash(), hash()}).size(), 4u);
}

// --- installvia

TEST_F(Sockets, server_is_installed_through_another_gateway) {
  for (const char* const hop : {"popen//id=hop", "popen//python=" GANGWAY_PYTHON "//id=portable"}) {
    Gateway via = group().makegateway(hop);
    Gateway gateway = group().makegateway("socket//installvia=" + std::string(via.id()));
    EXPECT_EQ(gateway.info().agent, "portable");
    EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
    EXPECT_NE(gateway.info().pid, via.info().pid);
  }
  EXPECT_THAT(group().terminate(10s).killed, ::testing::IsEmpty());
}

TEST_F(Sockets, installing_says_which_hop_failed) {
  EXPECT_THAT(failure("installvia=nobody"), HasSubstr("installvia=nobody"));
  (void)group().makegateway("popen//id=hop");
  EXPECT_THAT(failure("installvia=hop//secret_file=/none"), HasSubstr("secret_file"));
  EXPECT_THAT(failure("socket=192.0.2.1//installvia=hop"),
              AllOf(HasSubstr("installvia=hop"), HasSubstr("Cannot assign requested address")));
}

TEST_F(Sockets, installed_server_wants_its_secret) {
  Gateway hop = group().makegateway("popen//id=hop");
  // Who is faster than the gateway and does not know the secret gets nothing, and does no harm.
  Channel watch = hop.remote_exec(R"(
import os, socket, time
seen = set()
while not channel.isclosed():
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        words = line.split()
        port = int(words[1].split(":")[1], 16)
        if words[3] == "0A" and words[1].startswith("0100007F") and port not in seen:
            seen.add(port)
            try:
                with socket.create_connection(("127.0.0.1", port), 0.2) as stranger:
                    stranger.sendall(b"not the secret\nat all\n")
            except OSError:
                pass
)");
  for (int round = 0; round < 3; ++round)
    EXPECT_EQ(ask<int>(group().makegateway("installvia=hop"), "channel.send(1)"), 1);
  watch.close();
}

// --- the end

TEST_F(Sockets, agent_that_ends_is_reported_and_the_server_goes_on) {
  ServerProcess server({path()});
  Gateway gateway = group().makegateway("unix=" + path());
  (void)lost(gateway.remote_exec("import os; os._exit(3)"));
  EXPECT_TRUE(eventually([&] { return server.log().find("status 3") != std::string::npos; })) << server.log();
  EXPECT_EQ(ask<int>(group().makegateway("unix=" + path()), "channel.send(1)"), 1);
}

TEST_F(Sockets, stopped_agent_is_gone_soon_after_terminate) {
  ServerProcess server({path()});
  Gateway gateway = group().makegateway("unix=" + path());
  const auto pid = static_cast<pid_t>(gateway.info().pid);
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  const auto begun = std::chrono::steady_clock::now();
  const TerminateReport report = group().terminate(500ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 2500ms);
  EXPECT_THAT(report.killed, ::testing::ElementsAre("gw0"));
  EXPECT_THAT(report.survivors, ::testing::IsEmpty());
  EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }, 10s));
}

TEST_F(Sockets, server_that_is_told_to_end_leaves_nothing) {
  ServerProcess plain({path()});
  ServerProcess encrypted({"127.0.0.1:0", "--secret-file", secret_file()});
  Gateway a = group().makegateway("unix=" + path());
  Gateway b = group().makegateway(encrypted.socket_spec() + "//secret_file=" + secret_file());
  Channel busy = a.remote_exec("import time\nwhile True: time.sleep(1)");
  for (ServerProcess* const server : {&plain, &encrypted}) {
    server->signal(SIGTERM);
    const auto status = server->wait(5s);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, 0);
  }
  (void)lost(busy);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 3s));
  EXPECT_NE(::access(path().c_str(), F_OK), 0);  // its socket, too
}

TEST_F(Sockets, killed_server_leaves_nothing) {
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--python", GANGWAY_PYTHON}}) {
    std::vector<std::string> arguments{path()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ServerProcess server(arguments);
    Gateway gateway = group().makegateway("unix=" + path());
    server.signal(SIGKILL);
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
  }
  // What it has left in the file system is in nobody's way.
  ServerProcess next({path()});
  EXPECT_EQ(ask<int>(group().makegateway("unix=" + path()), "channel.send(1)"), 1);
}

TEST_F(Sockets, once_is_one_connection) {
  for (const std::string secret : {"", "0123456789abcdef"}) {
    std::vector<std::string> arguments{"127.0.0.1:0", "--once"};
    std::string spec;
    if (!secret.empty()) {
      arguments.insert(arguments.end(), {"--secret-file", secret_file(secret)});
      spec = "//secret_file=" + secret_file(secret);
    }
    ServerProcess server(arguments);
    Gateway gateway = group().makegateway(server.socket_spec() + spec);
    EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
    EXPECT_THAT(failure(server.socket_spec() + spec), HasSubstr("serves one connection"));
    (void)group().terminate(5s);
    const auto status = server.wait(10s);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, 0);
  }
}

TEST_F(Sockets, more_connections_than_allowed_are_refused) {
  ServerProcess server({path(), "--max-connections", "1"});
  Gateway gateway = group().makegateway("unix=" + path());
  EXPECT_THAT(failure("unix=" + path()), HasSubstr("may not have more"));
  gateway.exit();
  EXPECT_TRUE(eventually([&] { return server.log().find("has ended") != std::string::npos; }));
  EXPECT_EQ(ask<int>(group().makegateway("unix=" + path()), "channel.send(1)"), 1);
}

TEST_F(Sockets, second_server_on_a_path_is_refused) {
  ServerProcess server({path()});
  ServerProcess second({path()});
  EXPECT_THAT(second.log(), HasSubstr("another server"));
  EXPECT_EQ(ask<int>(group().makegateway("unix=" + path()), "channel.send(1)"), 1);
}

}  // namespace
}  // namespace gangway::test
