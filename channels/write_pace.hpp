// How much goes out at once: what the stream takes in a tenth of a second. What has gone out stands before the
// next control frame; on a slow line more than that would hold it up for as long as the line needs for it.
//
// No I/O, no clock: whoever writes waits for the stream when it is full, and after each limit(), and tells how long
// that took.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

#include "core/byte_stream.hpp"

namespace gangway::detail {

class WritePace {
 public:
  /// A smaller one takes more of a slow line for headers and less of its time: 4 KiB are half a second at 64 kbit/s.
  static constexpr std::size_t least = 4 * 1024;
  /// As long as nothing is known: a second at 64 kbit/s.
  static constexpr std::size_t first = 8 * 1024;
  /// As much as one write takes of a fast stream; more would only stand before control frames.
  static constexpr std::size_t most = 128 * 1024;

  [[nodiscard]] std::size_t limit() const noexcept { return is_known() ? limit_ : std::min(limit_, first); }
  /// It has shown to be: there is no need to wait for it after each limit().
  [[nodiscard]] bool is_fast() const noexcept { return is_known() && !is_slow(); }
  /// For ByteStream::limit_backlog. A fast stream may take what it likes.
  [[nodiscard]] std::optional<Backlog> backlog() const noexcept {
    return is_fast() ? std::nullopt : std::optional(Backlog{limit(), is_slow()});
  }

  /// So much was written, and then the stream took nothing more for so long. True when limit and backlog are other
  /// ones now.
  [[nodiscard]] bool observe(std::size_t written, std::chrono::nanoseconds waited) noexcept {
    if (seen_ == 0 && written == 0) return false;  // it was not there yet
    const std::size_t limit_before = limit_;
    const bool known_before = is_known();
    const double forgotten = std::min(1.0, std::chrono::duration<double>(waited).count());
    taken_ = std::min(taken_ * (1 - forgotten) + static_cast<double>(written), static_cast<double>(second));
    seen_ = std::min(seen_ + written, second);
    limit_ = std::max(static_cast<std::size_t>(taken_ / 10), least);
    return limit_ != limit_before || is_known() != known_before;
  }

 private:
  static constexpr std::size_t second = 10 * most;

  [[nodiscard]] bool is_slow() const noexcept { return limit_ <= most / 2; }
  [[nodiscard]] bool is_known() const noexcept { return seen_ == second; }

  // In the last second of waiting, about. Not a shorter time: what a slow line acknowledges at once makes room for as
  // much at once. Nor that of the clock: what was idle is no slower for it.
  double taken_ = second;
  std::size_t seen_ = 0;  // in all
  std::size_t limit_ = most;
};

}  // namespace gangway::detail
