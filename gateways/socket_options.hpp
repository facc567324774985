// How a dead link is noticed: by the system, which asks the other side when nothing comes, and
// gives up on what is not acknowledged. The connection fails with ETIMEDOUT then.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>

namespace gangway::detail {

/// So many times the interval between two questions a link may be silent: 15 s and 45 s.
inline constexpr int missed_questions = 3;

/// Not more than the system takes. `interval` 0: never ask. Of no effect on other sockets than TCP ones.
inline void watch_link(int socket, std::chrono::milliseconds interval) noexcept {
  const auto set = [&](int level, int option, int value) { ::setsockopt(socket, level, option, &value, sizeof value); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, interval.count() > 0 ? 1 : 0);
  if (interval.count() <= 0) return;
  const auto ms = static_cast<int>(std::min<std::chrono::milliseconds::rep>(interval.count(), 3'600'000));
  const int seconds = std::max(1, ms / 1000);
  set(IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, missed_questions - 1);
  // Also bounds the questions: the kernel looks at it instead of their number.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, missed_questions * ms);
}

}  // namespace gangway::detail
