// How an agent behind a gwserver has ended is told as it is on this machine.
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <thread>

#include "gateways/socket_address.hpp"
#include "tests/faults/fault_test.hpp"
#include "tests/support/server_process.hpp"

namespace gangway::test {
namespace {

using detail::FileDescriptor;
using detail::SocketAddress;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::Matches;
using ::testing::StartsWith;

class SocketDeaths : public GroupTest {
 protected:
  /// `kind`: unix, tcp, tls.
  [[nodiscard]] std::string serve(const std::string& kind, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{kind == "unix" ? directory_ / "socket" : "127.0.0.1:0"};
    std::string keys;
    if (kind == "tls") {
      const std::string secret = directory_.write("secret", "0123456789abcdef0123456789abcdef");
      (void)::chmod(secret.c_str(), 0600);
      arguments.insert(arguments.end(), {"--secret-file", secret});
      keys = "//secret_file=" + secret;
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    server_.emplace(arguments);
    EXPECT_NE(server_->address(), "") << server_->log();
    return (kind == "unix" ? "unix=" + server_->address() : server_->socket_spec()) + keys;
  }
  [[nodiscard]] ServerProcess& server() { return *server_; }
  void TearDown() override {
    end_group();
    server_.reset();
    GroupTest::TearDown();
  }

 private:
  TemporaryDirectory directory_;
  std::optional<ServerProcess> server_;
};

class SocketDeathsOf : public SocketDeaths, public ::testing::WithParamInterface<const char*> {
 protected:
  [[nodiscard]] Gateway start() { return group().makegateway(serve(GetParam())); }
};

INSTANTIATE_TEST_SUITE_P(, SocketDeathsOf, ::testing::Values("unix", "tcp", "tls"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(SocketDeathsOf, exit_status_is_told) {
  Gateway gateway = start();
  const ConnectionLost error = lost(gateway.remote_exec("import os; os._exit(3)"));
  EXPECT_EQ(error.code(), errc::connection_lost);
  EXPECT_EQ(error.death().exit_status, 3);
  EXPECT_THAT(error.what(), HasSubstr("exit status 3"));
  EXPECT_TRUE(gateway.join(10s));
  EXPECT_EQ(gateway.death().exit_status, 3);
}

TEST_P(SocketDeathsOf, signal_is_told_by_its_name) {
  Gateway gateway = start();
  Channel idle = gateway.remote_exec("channel.receive()");
  ASSERT_EQ(::kill(worker_pid(gateway), SIGKILL), 0);
  const ConnectionLost error = lost(idle);
  EXPECT_EQ(error.death().signal, SIGKILL);
  EXPECT_FALSE(error.death().killed_here);
  EXPECT_THAT(error.what(), HasSubstr("killed by SIGKILL (signal 9), from outside"));
}

TEST_P(SocketDeathsOf, crash_is_told_with_the_last_lines_of_stderr) {
  const CrashesAreCrashes crashes;
  Gateway gateway = start();
  const ConnectionLost error = lost(gateway.remote_exec(R"(
import ctypes, os, sys, traceback
try:
    {}["no such key"]
except KeyError:
    os.write(2, traceback.format_exc().encode() + b"\x1b[31mand then\n")
ctypes.string_at(0)
)"));
  EXPECT_EQ(error.death().signal, SIGSEGV);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("killed by SIGSEGV (signal 11)"), HasSubstr("KeyError: 'no such key'"),
                                  HasSubstr("\\x1b[31mand then"), Not(HasSubstr("\x1b"))));
  // It is still the server's, too.
  EXPECT_TRUE(eventually([&] { return server().log().find("KeyError: 'no such key'") != std::string::npos; }))
      << server().log();
}

TEST_P(SocketDeathsOf, long_stderr_is_told_by_its_end) {
  Gateway gateway = start();
  const ConnectionLost error = lost(gateway.remote_exec(R"(
import os
for number in range(20_000):
    os.write(2, b"line %d\n" % number)
os._exit(4)
)"));
  EXPECT_EQ(error.death().exit_status, 4);
  EXPECT_EQ(error.death().stderr_tail.size(), limits::stderr_tail);
  EXPECT_THAT(error.death().stderr_tail, EndsWith("line 19998\nline 19999\n"));
  EXPECT_TRUE(eventually([&] { return server().log().find("line 19999\n") != std::string::npos; }));
  EXPECT_THAT(server().log(), HasSubstr("line 0\nline 1\n"));
}

TEST_P(SocketDeathsOf, server_for_one_connection_tells_before_it_leaves) {
  const std::string spec = serve(GetParam(), {"--once"});
  EXPECT_EQ(lost(group().makegateway(spec).remote_exec("import os; os._exit(3)")).death().exit_status, 3);
  const auto status = server().wait(20s);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 0);
}

TEST_P(SocketDeathsOf, server_that_dies_at_the_same_time_tells_nothing) {
  Gateway gateway = start();
  Channel idle = gateway.remote_exec("channel.receive()");
  server().signal(SIGKILL);
  const ConnectionLost error = lost(idle);
  EXPECT_EQ(error.code(), errc::connection_lost);
  EXPECT_FALSE(error.death().known());
}

TEST_P(SocketDeathsOf, many_at_once_are_told_apart) {
  const std::string spec = serve(GetParam());
  // So few that all are answered within limits::death_asked on a busy machine, too.
  const auto gateways = group().makegateways(std::vector<std::string>(4, spec));
  std::vector<Channel> channels;
  for (std::size_t number = 0; number < gateways.size(); ++number) {
    Gateway gateway = gateways[number];
    channels.push_back(
        gateway.remote_exec("import os; channel.receive(); os._exit(" + std::to_string(100 + number) + ")"));
  }
  for (Channel& channel : channels) channel.send(1);
  for (std::size_t number = 0; number < channels.size(); ++number)
    EXPECT_EQ(lost(channels[number]).death().exit_status, 100 + static_cast<int>(number));
}

TEST_F(SocketDeaths, portable_agents_are_told_of_as_well) {
  Gateway gateway = group().makegateway(serve("unix", {"--python", "/usr/bin/python3"}));
  const ConnectionLost error = lost(gateway.remote_exec("import os; os.write(2, b'why'); os._exit(3)"));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("exit status 3"), HasSubstr("why")));
}

TEST_F(SocketDeaths, agents_that_cannot_start_are_told_of_as_well) {
  const auto error =
      start_error(group(), serve("unix", {"--python", "/bin/sh -c 'echo no interpreter today >&2; exit 7' --"}));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("exit status 7"), HasSubstr("no interpreter today")));
}

TEST_F(SocketDeaths, what_is_behind_a_hop_is_told_how_that_died) {
  Gateway hop = group().makegateway(serve("tls") + "//id=hop");
  Gateway behind = group().makegateway("popen//via=hop//id=behind");
  Channel idle = behind.remote_exec("channel.receive()");
  (void)hop.remote_exec("import os; os._exit(3)");
  EXPECT_THAT(lost(idle).what(),
              AllOf(StartsWith("gateway behind: lost with its hop: gateway hop: "), HasSubstr("exit status 3")));
}

TEST_F(SocketDeaths, agents_that_were_asked_to_end_are_not_asked_about) {
  const std::string spec = serve("unix");
  (void)group().makegateway(spec);
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
  // Who comes next is connection 2.
  (void)group().makegateway(spec);
  const auto second = Matches(ContainsRegex("connection 2 from .*: agent"));
  EXPECT_TRUE(eventually([&] { return second(server().log()); })) << server().log();
}

// --- who asks

/// What a server answers to a line, without the line feed.
std::string answer_to(const std::string& path, const std::string& words) {
  const auto target = SocketAddress::unix_path(path);
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(socket.get(), target.get(), target.size), 0) << std::strerror(errno);
  const std::string line = "'# gangway 1 " + words + "\\n'\n";
  EXPECT_EQ(::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL), static_cast<ssize_t>(line.size()));
  std::string text;
  while (text.size() < 600) {
    pollfd wait{socket.get(), POLLIN, 0};
    char byte = 0;
    if (::poll(&wait, 1, 20'000) <= 0 || ::recv(socket.get(), &byte, 1, 0) <= 0 || byte == '\n') break;
    text += byte;
  }
  return text;
}

TEST_F(SocketDeaths, only_who_knows_the_token_is_told_and_once) {
  (void)serve("unix");
  const std::string path = server().address();
  EXPECT_EQ(answer_to(path, ""), "GW1 native");  // who does not want one gets none
  constexpr std::string_view before = "GW1 native death=";
  // The connection ends with this line, and the agent by itself.
  const std::string reply = answer_to(path, "death new words");
  ASSERT_THAT(reply, StartsWith(std::string(before)));
  const std::string token = reply.substr(before.size());
  EXPECT_EQ(token.size(), 32u);
  EXPECT_NE(answer_to(path, "death").substr(before.size()), token);
  EXPECT_THAT(answer_to(path, "death=" + std::string(32, '0')), StartsWith("GW1 refused it knows no such"));
  EXPECT_TRUE(eventually([&] { return server().log().find("connection 2: agent") != std::string::npos; }, 20s))
      << server().log();
  EXPECT_THAT(answer_to(path, "death=" + token), StartsWith("GW1 death "));
  EXPECT_THAT(answer_to(path, "death=" + token), StartsWith("GW1 refused it knows no such"));
}

TEST_F(SocketDeaths, who_asks_about_an_agent_that_lives_is_not_kept) {
  (void)serve("unix");
  const auto target = SocketAddress::unix_path(server().address());
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(socket.get(), target.get(), target.size), 0);
  const std::string line = "'# gangway 1 death\\n'\n";
  ASSERT_GT(::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL), 0);
  std::array<char, 512> reply{};
  ASSERT_GT(::recv(socket.get(), reply.data(), reply.size(), 0), 0);
  const std::string token = std::string(reply.data()).substr(17, 32);
  EXPECT_EQ(answer_to(server().address(), "death=" + token), "GW1 refused the agent has not ended");
}

// --- servers that lie

/// A server that gives a token, ends the connection, and then answers as it was told.
class FalseServer {
 public:
  explicit FalseServer(std::string answer) : answer_(std::move(answer)) {
    auto address = SocketAddress::numeric({"127.0.0.1", 0}).at(0);
    EXPECT_EQ(::bind(listener_.get(), address.get(), address.size), 0);
    EXPECT_EQ(::listen(listener_.get(), 5), 0);
    spec_ = "socket=" + SocketAddress::local(listener_.get()).text();
    thread_ = std::thread([this] { serve(); });
  }
  ~FalseServer() {
    over_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  FalseServer(const FalseServer&) = delete;
  FalseServer& operator=(const FalseServer&) = delete;

  [[nodiscard]] const std::string& spec() const { return spec_; }
  [[nodiscard]] bool was_asked() const { return asked_; }

 private:
  void serve() {
    std::vector<FileDescriptor> open;
    while (!over_) {
      FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) return;
      std::string line;
      for (char byte = 0; byte != '\n' && ::recv(socket.get(), &byte, 1, 0) == 1;) line += byte;
      const bool question = line.find("death=0123456789abcdef0123456789abcdef") != line.npos;
      const std::string text = question ? answer_ : "GW1 native death=0123456789abcdef0123456789abcdef\n";
      asked_ = asked_ || question;
      (void)::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (question && answer_.empty()) {  // it never says anything
        open.push_back(std::move(socket));
        continue;
      }
      ::shutdown(socket.get(), SHUT_WR);
      for (char rest[256]; ::recv(socket.get(), rest, sizeof rest, 0) > 0;) {
      }
    }
  }

  const std::string answer_;
  const FileDescriptor listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string spec_;
  std::atomic<bool> over_ = false;
  std::atomic<bool> asked_ = false;
  std::thread thread_;
};

TEST_F(SocketDeaths, false_answers_tell_nothing) {
  for (const std::string answer :
       {"", "GW1 death exit=3 stderr=100\nshort", "GW1 death exit=3 stderr=999999999\n", "GW1 death exit=3\n",
        "GW1 death exit=256 stderr=0\n", "GW1 death signal=0 stderr=0\n", "GW1 death exit=3 signal=9 stderr=0\n",
        "GW1 death\n", "GW1 native\n", "GW1 refused \x1b[31mnot you\n", "\x1b[31m\n"}) {
    const FalseServer server(answer);
    const StartError error = start_error(group(), server.spec());
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("ended before it answered"), Not(HasSubstr("exit status")), Not(HasSubstr("\x1b"))))
        << answer;
    EXPECT_TRUE(server.was_asked()) << answer;
  }
  const FalseServer flood(std::string(1'000'000, 'x'));
  EXPECT_THAT(start_error(group(), flood.spec()).what(), HasSubstr("ended before it answered"));
}

TEST_F(SocketDeaths, answers_are_shown_safely_and_their_news_is_passed_over) {
  const FalseServer server("GW1 death mood=bad exit=3 stderr=9\n\x1b[31mend\n and more");
  EXPECT_THAT(start_error(group(), server.spec()).what(),
              AllOf(HasSubstr("exit status 3"), HasSubstr("\\x1b[31mend"), Not(HasSubstr("more"))));
}

}  // namespace
}  // namespace gangway::test
