// How much goes out at once: what the stream takes in a tenth of a second. What has gone out stands before the
// next control frame; on a slow line more than that would hold it up for as long as the line needs for it.
//
// No I/O, no clock: whoever writes tells what went out, waits for the stream when it is full or is_due(), and tells how
// long that took.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>

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
  /// What goes out in a row to a fast stream: a peer that reads as fast as we write would hold up everybody else for as
  /// long as an item lasts. It takes 0.3 ms.
  static constexpr std::size_t turn = 1024 * 1024;

  [[nodiscard]] std::size_t limit() const noexcept { return is_known() ? limit_ : std::min(limit_, first); }
  /// It has shown to be: there is no need to wait for it after each limit().
  [[nodiscard]] bool is_fast() const noexcept { return is_known() && !is_slow(); }
  /// The stream is to be waited for before more goes out.
  [[nodiscard]] bool is_due() const noexcept { return written_ >= (is_fast() ? turn : limit()); }
  /// For ByteStream::limit_backlog. A fast stream may take what it likes.
  [[nodiscard]] std::optional<Backlog> backlog() const noexcept {
    return is_fast() ? std::nullopt : std::optional(Backlog{limit(), is_slow()});
  }

  /// The stream has no backlog that could be bounded (ByteStream::limit_backlog): it counts as fast from now on.
  void lift() noexcept {
    lifted_ = true;
    limit_ = most;
  }

  void wrote(std::size_t size) noexcept { written_ += size; }
  /// There is nothing more to write: others have their turn.
  void rest() noexcept {
    if (is_fast()) written_ = 0;
  }
  /// The stream took nothing more for so long, and takes more now. True when limit and backlog are other ones.
  [[nodiscard]] bool waited(std::chrono::nanoseconds time) noexcept {
    const std::size_t written = std::exchange(written_, 0);
    if (lifted_ || (seen_ == 0 && written == 0)) return false;  // or it was not there yet
    const std::size_t limit_before = limit_;
    const bool known_before = is_known();
    const double forgotten = std::min(1.0, std::chrono::duration<double>(time).count());
    taken_ = std::min(taken_ * (1 - forgotten) + static_cast<double>(written), static_cast<double>(second));
    seen_ = std::min(seen_ + written, second);
    limit_ = std::max(static_cast<std::size_t>(taken_ / 10), least);
    return limit_ != limit_before || is_known() != known_before;
  }

 private:
  static constexpr std::size_t second = 10 * most;

  [[nodiscard]] bool is_slow() const noexcept { return limit_ <= most / 2; }
  [[nodiscard]] bool is_known() const noexcept { return lifted_ || seen_ == second; }

  // In the last second of waiting, about. Not a shorter time: what a slow line acknowledges at once makes room for as
  // much at once. Nor that of the clock: what was idle is no slower for it.
  double taken_ = second;
  std::size_t seen_ = 0;     // in all
  std::size_t written_ = 0;  // since it was last waited for
  std::size_t limit_ = most;
  bool lifted_ = false;
};

}  // namespace gangway::detail
