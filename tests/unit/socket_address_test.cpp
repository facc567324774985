#include <gtest/gtest.h>

#include <stdexcept>

#include "gateways/server/peer_user.hpp"
#include "gateways/socket_address.hpp"

namespace gangway::detail {
namespace {

TEST(SocketAddress, host_and_port_are_told_apart) {
  struct Case {
    const char* text;
    const char* host;
    int port;
  };
  for (const Case& each : {Case{"localhost:8888", "localhost", 8888}, Case{"127.0.0.1:0", "127.0.0.1", 0},
                           Case{"[::1]:65535", "::1", 65535}, Case{"[fe80::1%eth0]:1", "fe80::1%eth0", 1}}) {
    const HostPort parsed = HostPort::parse(each.text);
    EXPECT_EQ(parsed.host, each.host);
    EXPECT_EQ(parsed.port, each.port);
    EXPECT_EQ(parsed.text(), each.text);
  }
}

TEST(SocketAddress, what_is_none_is_refused) {
  for (const char* const text : {"", "host", ":80", "host:", "host:65536", "host:-1", "host: 1", "host:80x", "::1:80",
                                 "[::1]", "[::1]80", "[::1", "[]:80"})
    EXPECT_THROW((void)HostPort::parse(text), std::invalid_argument) << text;
  EXPECT_THROW((void)SocketAddress::unix_path(""), std::invalid_argument);
  EXPECT_THROW((void)SocketAddress::unix_path("@"), std::invalid_argument);
  EXPECT_THROW((void)SocketAddress::unix_path(std::string(108, 'x')), std::invalid_argument);
  EXPECT_EQ(SocketAddress::unix_path(std::string(107, 'x')).text(), std::string(107, 'x'));
  EXPECT_EQ(SocketAddress::unix_path("@" + std::string(107, 'x')).text().size(), 108u);
}

TEST(SocketAddress, loopback_is_recognised_in_all_its_forms) {
  const auto is_loopback = [](const char* host) { return SocketAddress::numeric({host, 1}).at(0).is_loopback(); };
  for (const char* const host : {"127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"}) EXPECT_TRUE(is_loopback(host));
  for (const char* const host : {"0.0.0.0", "::", "128.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(SocketAddress, source_of_ipv6_is_its_network) {
  const auto source = [](const char* host) { return SocketAddress::numeric({host, 1}).at(0).source(); };
  EXPECT_EQ(source("2001:db8::1"), source("2001:db8::ffff:2"));
  EXPECT_NE(source("2001:db8::1"), source("2001:db8:1::1"));
  EXPECT_NE(source("10.0.0.1"), source("10.0.0.2"));
  EXPECT_NE(source("::ffff:10.0.0.1"), source("::ffff:10.0.0.2"));
}

// As the kernel prints it on a little-endian machine.
constexpr const char* table =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n"
    "   1: 0100007F:22B8 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1\n"
    "   2: 0100007F:9C40 0100007F:22B8 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0 20 4 30 10 -1\n"
    "   3: 0100007F:9C41 0100007F:22B8 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n"
    "   4: 0100007F:9C42 0100007F:22B8 01 00000000:00000000 00:00000000 00000000     0        0 0 3 0\n";

TEST(PeerUser, is_the_owner_of_the_other_end) {
  const auto at = [](int port) {
    return SocketAddress::numeric({"127.0.0.1", static_cast<std::uint16_t>(port)}).at(0);
  };
  const SocketAddress server = at(8888);
  EXPECT_EQ(owner_in_table(table, at(40000), server), uid_t{1000});
  EXPECT_EQ(owner_in_table(table, SocketAddress::numeric({"::ffff:127.0.0.1", 40000}).at(0),
                           SocketAddress::numeric({"::ffff:127.0.0.1", 8888}).at(0)),
            uid_t{1000});
}

// A closed one shows root as its owner: that must let nobody in.
TEST(PeerUser, is_nobody_once_the_other_end_is_closed) {
  const auto at = [](int port) {
    return SocketAddress::numeric({"127.0.0.1", static_cast<std::uint16_t>(port)}).at(0);
  };
  for (const int port : {40001, 40002, 40003}) EXPECT_FALSE(owner_in_table(table, at(port), at(8888)));
  for (const char* const damaged : {"", "\n", "0:", "1: 0100007F:9C40 0100007F:22B8", "\xff\xfe: : :"})
    EXPECT_FALSE(owner_in_table(damaged, at(40000), at(8888)));
}

}  // namespace
}  // namespace gangway::detail
