// Where a socket server listens, as it is written: "host:port", "[::1]:port", a path, "@name".
//
// Values; no I/O.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gangway::detail {

/// A host that may still have to be looked up, and a port.
struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 0;

  /// Throws std::invalid_argument that says what is wrong, for layers that know where it stands.
  [[nodiscard]] static HostPort parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

/// What connect() and bind() take.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  /// A path, or a name in the abstract namespace when it starts with "@". Throws std::invalid_argument.
  [[nodiscard]] static SocketAddress unix_path(std::string_view path);
  /// Only what needs no name service: an address in digits. Empty otherwise.
  [[nodiscard]] static std::vector<SocketAddress> numeric(const HostPort& where);
  [[nodiscard]] static SocketAddress local(int socket) noexcept;
  [[nodiscard]] static SocketAddress peer(int socket) noexcept;

  [[nodiscard]] int family() const noexcept { return storage.ss_family; }
  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] bool is_unix() const noexcept { return family() == AF_UNIX; }
  /// An IP address that only this machine can reach (IPv4 within IPv6 included).
  [[nodiscard]] bool is_loopback() const noexcept;
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// "127.0.0.1:8888", "[::1]:8888", "/run/x", "@x"; printable.
  [[nodiscard]] std::string text() const;
  /// The address without the port: one source of connections. Of IPv6 the network, 64 bits,
  /// which one customer has as a rule.
  [[nodiscard]] std::string source() const;
};

}  // namespace gangway::detail
