#include "gateways/socket_backlog.hpp"

#include <linux/tcp.h>  // not netinet/tcp.h: its tcp_info has no smallest round trip
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

namespace gangway::detail {

namespace {

template <class Value>
bool get(int fd, int level, int option, Value& value) noexcept {
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, option, &value, &size) == 0;
}

bool set(int fd, int level, int option, int value) noexcept {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// The system doubles what it is told, for its own records.
void set_buffer(int fd, double size) noexcept {
  set(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(std::clamp(size, 1.0, 1e9)));
}

}  // namespace

SocketBacklog::SocketBacklog(int fd) noexcept {
  int domain = 0, type = 0;
  if (!get(fd, SOL_SOCKET, SO_DOMAIN, domain) || !get(fd, SOL_SOCKET, SO_TYPE, type) || type != SOCK_STREAM) return;
  if (domain == AF_UNIX && get(fd, SOL_SOCKET, SO_SNDBUF, buffer_)) kind_ = Kind::unix_socket;
  if (domain == AF_INET || domain == AF_INET6) kind_ = Kind::tcp;
}

bool SocketBacklog::limit(int fd, const std::optional<Backlog>& most) noexcept {
  if (kind_ == Kind::unix_socket) set_buffer(fd, most ? static_cast<double>(most->bytes) : buffer_ / 2.0);
  if (kind_ == Kind::tcp) limit_tcp(fd, most);
  return kind_ != Kind::none;
}

// What has not been sent, and, if that is wanted, what has not been acknowledged: twice what is under way on a line of
// that pace that nobody else uses. `bytes` are those of a tenth of a second. The shortest round trip ever: that of the
// last minutes, which the system knows, contains what our own bytes wait for.
void SocketBacklog::limit_tcp(int fd, const std::optional<Backlog>& most) noexcept {
  set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, most ? static_cast<int>(most->bytes) : 0);  // 0: the system's own
  if (!most || !most->sent_too) {
    // Before Linux 5.14 what was set stays set: as much as is allowed, then.
    if (std::exchange(buffer_is_ours_, false) && !set(fd, SOL_SOCKET, SO_BUF_LOCK, 0)) set_buffer(fd, 1e9);
    return;
  }
  tcp_info info{};
  constexpr auto none = ~decltype(info.tcpi_min_rtt){0};
  if (get(fd, IPPROTO_TCP, TCP_INFO, info) && info.tcpi_min_rtt != none && info.tcpi_min_rtt != 0)
    shortest_trip_ = std::min(1e-6 * info.tcpi_min_rtt, shortest_trip_.value_or(1e9));
  set_buffer(fd, static_cast<double>(most->bytes) * (1 + 2 * 10 * shortest_trip_.value_or(1)));
  buffer_is_ours_ = true;
}

}  // namespace gangway::detail
