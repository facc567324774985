#include "gateways/socket_address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include "core/escape.hpp"

namespace gangway::detail {

namespace {

[[noreturn]] void complain(const std::string& what) { throw std::invalid_argument(what); }

const sockaddr_in& as_ipv4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}
const sockaddr_in6& as_ipv6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}
const sockaddr_un& as_unix(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_un&>(address.storage);
}

std::string host_text(const SocketAddress& address) {
  char host[NI_MAXHOST];
  const int problem = ::getnameinfo(address.get(), address.size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return problem == 0 ? host : "?";
}

}  // namespace

HostPort HostPort::parse(std::string_view text) {
  HostPort result;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos || end + 1 >= text.size() || text[end + 1] != ':')
      complain("an IPv6 address is written [address]:port");
    result.host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == text.npos) complain("a port is missing: host:port");
    result.host = text.substr(0, colon);
    if (result.host.find(':') != result.host.npos) complain("an IPv6 address is written [address]:port");
    port = text.substr(colon + 1);
  }
  if (result.host.empty()) complain("a host is missing: host:port");
  const auto [end, problem] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (problem != std::errc() || end != port.data() + port.size() || port.empty())
    complain("a port is a number up to 65535, not '" + escape_for_display(port) + "'");
  return result;
}

std::string HostPort::text() const {
  const bool ipv6 = host.find(':') != host.npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

SocketAddress SocketAddress::unix_path(std::string_view path) {
  SocketAddress result;
  auto& address = reinterpret_cast<sockaddr_un&>(result.storage);
  address.sun_family = AF_UNIX;
  if (path.empty() || path == "@") complain("a path is missing");
  // A path has a zero byte behind it, an abstract name one before it.
  if (path.size() > sizeof address.sun_path - (path[0] == '@' ? 0 : 1))
    complain("the path of a Unix socket has at most " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0 : 1));
  return result;
}

std::vector<SocketAddress> SocketAddress::numeric(const HostPort& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  std::vector<SocketAddress> result;
  if (::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found) != 0) return result;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    result.push_back(address);
  }
  ::freeaddrinfo(found);
  return result;
}

SocketAddress SocketAddress::local(int socket) noexcept {
  SocketAddress result;
  result.size = sizeof result.storage;
  if (::getsockname(socket, result.get(), &result.size) != 0) return {};
  return result;
}

SocketAddress SocketAddress::peer(int socket) noexcept {
  SocketAddress result;
  result.size = sizeof result.storage;
  if (::getpeername(socket, result.get(), &result.size) != 0) return {};
  return result;
}

bool SocketAddress::is_loopback() const noexcept {
  if (family() == AF_INET) return (ntohl(as_ipv4(*this).sin_addr.s_addr) >> 24) == 127;
  if (family() != AF_INET6) return false;
  const in6_addr& address = as_ipv6(*this).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

std::uint16_t SocketAddress::port() const noexcept {
  if (family() == AF_INET) return ntohs(as_ipv4(*this).sin_port);
  if (family() == AF_INET6) return ntohs(as_ipv6(*this).sin6_port);
  return 0;
}

std::string SocketAddress::text() const {
  if (is_unix()) {
    constexpr std::size_t before = offsetof(sockaddr_un, sun_path);
    if (size <= before) return "a socket without a name";
    std::string path(as_unix(*this).sun_path, size - before);
    if (path[0] == '\0')
      path[0] = '@';
    else
      path = path.c_str();
    return escape_for_display(path);
  }
  return HostPort{host_text(*this), port()}.text();
}

std::string SocketAddress::source() const {
  if (is_unix()) return "unix";
  SocketAddress network = *this;
  if (family() == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&as_ipv6(*this).sin6_addr))
    std::memset(reinterpret_cast<sockaddr_in6&>(network.storage).sin6_addr.s6_addr + 8, 0, 8);
  return host_text(network);
}

}  // namespace gangway::detail
