// Rows C of the catalogue that need a network: packets that do not arrive, or late.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <future>
#include <optional>
#include <vector>

#include "tests/faults/fault_test.hpp"
#include "tests/faults/network.hpp"
#include "tests/support/server_process.hpp"

namespace gangway::test {
namespace {

using ::testing::StartsWith;

constexpr const char* echo = "for item in channel: channel.send(item)";

class Networks : public GroupTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: network namespaces";
    network_.emplace();
    if (!*network_) GTEST_SKIP() << "no network namespace to be had (ip netns)";
    secret_ = directory_.write("secret", "0123456789abcdef0123456789abcdef");
    (void)::chmod(secret_.c_str(), 0600);
    GroupTest::SetUp();
  }
  void TearDown() override {
    end_group();
    server_.reset();
    network_.reset();
    GroupTest::TearDown();
  }

  [[nodiscard]] const Network& network() const { return *network_; }
  /// Starts the server on the far side; gives the spec of a gateway there.
  [[nodiscard]] std::string serve(const std::string& server_keepalive = "1") {
    server_.emplace(
        std::vector<std::string>{network_->there() + ":0", "--secret-file", secret_, "--keepalive", server_keepalive},
        std::vector<std::pair<std::string, std::string>>{},
        std::vector<std::string>{"ip", "netns", "exec", network_->name()});
    EXPECT_NE(server_->address(), "") << server_->log();
    return server_->socket_spec() + "//secret_file=" + secret_;
  }

 private:
  TemporaryDirectory directory_;
  std::string secret_;
  std::optional<Network> network_;
  std::optional<ServerProcess> server_;
};

class DeadLinks : public Networks, public ::testing::WithParamInterface<const char*> {
 protected:
  void go_silent() {
    if (std::string_view(GetParam()) == "cable")
      network().pull_the_cable();
    else
      network().lose_answers();
  }
};

INSTANTIATE_TEST_SUITE_P(, DeadLinks, ::testing::Values("cable", "answers"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(DeadLinks, C1_C4_dead_link_is_noticed_on_both_sides) {
  Gateway gateway = group().makegateway(serve() + "//keepalive=1s");
  const auto worker = static_cast<pid_t>(gateway.info().pid);
  Channel idle = gateway.remote_exec("channel.receive()");
  const auto begun = std::chrono::steady_clock::now();
  go_silent();
  EXPECT_THAT(lost(idle).what(), AnyOf(HasSubstr("is dead"), HasSubstr("route"), HasSubstr("unreachable")));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);  // three questions, one a second
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }, 20s));
}

TEST_P(DeadLinks, C1_C4_dead_link_of_a_hop_fails_all_behind_it) {
  (void)group().makegateway(serve() + "//keepalive=1s//id=there");
  Gateway first = group().makegateway("popen//via=there//id=first");
  Gateway second = group().makegateway("popen//via=first//id=second");
  const std::array workers{worker_pid(group().at("there")), worker_pid(first), worker_pid(second)};
  std::vector<Channel> idle{first.remote_exec("channel.receive()"), second.remote_exec("channel.receive()")};
  go_silent();
  EXPECT_THAT(lost(idle[0]).what(), AllOf(StartsWith("gateway first: lost with its hop: gateway there: the "),
                                          AnyOf(HasSubstr("is dead"), HasSubstr("route"), HasSubstr("unreachable"))));
  EXPECT_THAT(lost(idle[1]).what(),
              StartsWith("gateway second: lost with its hop: gateway first: lost with its hop: gateway there: the "));
  // The far side finds out for itself: nobody can tell it.
  for (const pid_t worker : workers) EXPECT_TRUE(eventually([&] { return !is_alive(worker); }, 20s));
}

TEST_F(Networks, C10_host_that_does_not_answer_is_a_timeout_that_says_so) {
  const std::string address = network().nobody() + ":8888";
  const auto error = start_error(group(), "socket=" + address + "//connect_timeout=500ms");
  EXPECT_EQ(error.code(), errc::bootstrap_timeout);
  EXPECT_THAT(error.what(), HasSubstr("no answer from " + address));
}

// Every twentieth packet from the eleventh on, and not one in twenty by chance: there are always some.
TEST_F(Networks, C5_lost_packets_change_nothing) {
  const std::string one_in_twenty = "-m statistic --mode nth --every 20 --packet 10";
  if (!network().drop("INPUT", one_in_twenty) || !network().drop("OUTPUT", one_in_twenty))
    GTEST_SKIP() << "no iptables with -m statistic";
  Channel channel = group().makegateway(serve("15")).remote_exec(echo);
  constexpr int rounds = 40;
  const auto item = [](int round) { return std::string(20'000, static_cast<char>('a' + round % 26)); };
  for (int round = 0; round < rounds; ++round) channel.send(item(round));
  for (int round = 0; round < rounds; ++round) EXPECT_TRUE(channel.receive(60s) == Value(item(round))) << round;
  EXPECT_GT(network().dropped("INPUT") + network().dropped("OUTPUT"), 0);
}

struct SlowLine {
  const char* name;
  const char* keys;
  std::chrono::milliseconds usual, most;  // of a ping
};

class SlowLines : public Networks, public ::testing::WithParamInterface<SlowLine> {};

INSTANTIATE_TEST_SUITE_P(, SlowLines,
                         ::testing::Values(SlowLine{"default_window", "", 2s, 4s},
                                           SlowLine{"small_window", "//window=4096", 1s, 3s}),
                         [](const auto& test) { return std::string(test.param.name); });

// Bulk both ways, as much as the window takes. What stands before a ping is bounded as soon as the line is known to be
// slow, which takes some seconds; by a small window at once.
TEST_P(SlowLines, C7_let_control_frames_through) {
  if (!network().slow_down("64kbit")) GTEST_SKIP() << "no tc with tbf";
  Gateway gateway = group().makegateway(serve("15") + GetParam().keys);
  Channel bulk = gateway.remote_exec(echo);
  std::atomic<bool> enough = false;
  auto sending = std::async(std::launch::async, [&] {
    std::size_t sent = 0;
    for (; !enough; ++sent) bulk.send(zeros(1000));
    bulk.send(Value());
    return sent;
  });
  auto receiving = std::async(std::launch::async, [&] {
    std::size_t received = 0;
    const Value item(zeros(1000));
    for (Value echoed; (echoed = bulk.receive(60s)) != Value(); ++received) EXPECT_TRUE(echoed == item) << received;
    return received;
  });
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::chrono::steady_clock::duration> pings;
  while (pings.size() < 7) {
    const auto asked = std::chrono::steady_clock::now();
    (void)gateway.ping(20s);
    const auto now = std::chrono::steady_clock::now();
    if (asked - begun > 6s) pings.push_back(now - asked);
  }
  enough = true;
  std::sort(pings.begin(), pings.end());
  EXPECT_LT(pings[3], GetParam().usual);
  EXPECT_LT(pings[6], GetParam().most);
  EXPECT_FALSE(gateway.unresponsive());
  EXPECT_EQ(sending.get(), receiving.get());
}

/// A firewall that forgets connections on which nothing has come for a while, and drops silently what
/// belongs to none.
class ForgetfulNetworks : public Networks {
 protected:
  void SetUp() override {
    Networks::SetUp();
    if (IsSkipped()) return;
    // A start may be slow: nothing is forgotten until it is over.
    if (!network().drop("INPUT", "-m conntrack --ctstate INVALID") ||
        !network().drop("OUTPUT", "-m conntrack --ctstate INVALID") || !set("loose", 0) || !forget_after(60) ||
        !network().inside("cat /proc/net/nf_conntrack"))
      GTEST_SKIP() << "no conntrack (iptables -m conntrack, /proc/net/nf_conntrack)";
  }
  /// Counts for a connection from its next packet on.
  [[nodiscard]] bool forget_after(int seconds) { return set("timeout_established", seconds); }
  [[nodiscard]] std::size_t remembered() const {
    const std::string table = network().output("cat /proc/net/nf_conntrack");
    std::size_t count = 0;
    for (std::size_t at = 0; (at = table.find("ESTABLISHED", at)) != table.npos; ++at) ++count;
    return count;
  }

 private:
  [[nodiscard]] bool set(const std::string& name, int value) {
    return network().inside("sh -c 'echo " + std::to_string(value) + " >/proc/sys/net/netfilter/nf_conntrack_tcp_" +
                            name + "'");
  }
};

TEST_F(ForgetfulNetworks, C13_idle_connection_is_kept_alive) {
  const std::string spec = serve("0");
  Gateway kept = group().makegateway(spec + "//keepalive=1s");
  Gateway forgotten = group().makegateway(spec + "//keepalive=0");
  EXPECT_EQ(remembered(), 2u);
  ASSERT_TRUE(forget_after(3));
  (void)forgotten.ping(20s);
  ASSERT_TRUE(eventually([&] { return remembered() == 1; }, 20s));
  EXPECT_EQ(ask<int>(kept, "channel.send(1)"), 1);
  EXPECT_THROW((void)forgotten.ping(1s), TimeoutError);
  forgotten.kill();
}

TEST_F(ForgetfulNetworks, C13_forgotten_connection_is_noticed_on_both_sides) {
  Gateway gateway = group().makegateway(serve("2") + "//keepalive=2s");
  const pid_t worker = worker_pid(gateway);
  ASSERT_TRUE(forget_after(1));
  EXPECT_THAT(lost(gateway.remote_exec("channel.receive()")).what(), HasSubstr("is dead"));
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }, 30s));
}

class LargePackets : public Networks, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(, LargePackets, ::testing::Values("INPUT", "OUTPUT"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(LargePackets, C14_large_packets_that_vanish_are_a_dead_link) {
  const std::string chain = GetParam();
  int probing = 0;  // of this side, which sends what comes INPUT; a new namespace does none
  std::ifstream("/proc/sys/net/ipv4/tcp_mtu_probing") >> probing;
  if (chain == "INPUT" && probing != 0) GTEST_SKIP() << "net.ipv4.tcp_mtu_probing is on: TCP finds a way by itself";
  Gateway gateway = group().makegateway(serve() + "//keepalive=1s");
  Channel channel = gateway.remote_exec("while True:\n    channel.send(bytes(channel.receive()))");
  if (!network().drop(chain, "-m length --length 1400:65535")) GTEST_SKIP() << "no iptables with -m length";
  channel.send(100);
  EXPECT_EQ(take<Bytes>(channel).size(), 100u);  // small ones come through
  if (chain == "INPUT")
    EXPECT_THROW(channel.send(zeros(100'000)), ConnectionLost);  // it waits until most of it is under way
  else
    channel.send(100'000);
  EXPECT_EQ(lost(channel).code(), errc::connection_lost);
  EXPECT_GT(network().dropped(chain), 0);
}

}  // namespace
}  // namespace gangway::test
