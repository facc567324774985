#include "gateways/socket_backlog.hpp"

#include <linux/tcp.h>  // not netinet/tcp.h: its tcp_info has no smallest round trip
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

namespace gangway::detail {

namespace {

template <class Value>
bool get(int fd, int level, int option, Value& value) noexcept {
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, option, &value, &size) == 0;
}

void set(int fd, int level, int option, int value) noexcept {
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

// The system doubles what it is told, for its own records.
void set_buffer(int fd, double size) noexcept {
  set(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(std::clamp(size, 1.0, 1e9)));
}

// What has not been sent, and, if that is wanted, what has not been acknowledged: twice what is under way on a line of
// that pace that nobody else uses. `bytes` are those of a tenth of a second.
void limit_tcp(int fd, const std::optional<Backlog>& most) noexcept {
  set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, most ? static_cast<int>(most->bytes) : -1);
  tcp_info info{};
  if (most && most->sent_too && get(fd, IPPROTO_TCP, TCP_INFO, info))
    set_buffer(fd, static_cast<double>(most->bytes) * (1 + 2 * 10 * 1e-6 * info.tcpi_min_rtt));
  else
    set(fd, SOL_SOCKET, SO_BUF_LOCK, 0);  // the system's own affair again
}

}  // namespace

SocketBacklog::SocketBacklog(int fd) noexcept {
  int domain = 0, type = 0;
  if (!get(fd, SOL_SOCKET, SO_DOMAIN, domain) || !get(fd, SOL_SOCKET, SO_TYPE, type) || type != SOCK_STREAM) return;
  if (domain == AF_UNIX && get(fd, SOL_SOCKET, SO_SNDBUF, buffer_)) kind_ = Kind::unix_socket;
  if (domain == AF_INET || domain == AF_INET6) kind_ = Kind::tcp;
}

bool SocketBacklog::limit(int fd, const std::optional<Backlog>& most) const noexcept {
  if (kind_ == Kind::unix_socket) set_buffer(fd, most ? static_cast<double>(most->bytes) : buffer_ / 2.0);
  if (kind_ == Kind::tcp) limit_tcp(fd, most);
  return kind_ != Kind::none;
}

}  // namespace gangway::detail
