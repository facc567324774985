// Whether an agent answers: a state machine without I/O or clock.
//
// A ping every interval; silence for three of them makes the agent unresponsive: stopped,
// or in a call that holds everything. That is reported, not acted upon: long C calls are
// legitimate, and only the transport knows whether the link is dead.
#pragma once

#include <chrono>
#include <optional>

namespace gangway::detail {

class Liveness {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Action { none, send_ping };

  Liveness(Clock::duration interval, Clock::time_point now) : interval_(interval), answered_(now) {}

  [[nodiscard]] Clock::duration interval() const noexcept { return interval_; }

  /// Called every interval. One ping is out at most: a stopped agent finds one, not hundreds.
  [[nodiscard]] Action on_tick(Clock::time_point now) noexcept {
    if (waiting_) return Action::none;
    waiting_ = true;
    asked_ = now;
    return Action::send_ping;
  }
  void on_pong(Clock::time_point now) noexcept {
    waiting_ = false;
    answered_ = now;
  }

  /// For how long it has been silent, once that is too long. A controller that could not
  /// ask in time (starved, stopped) gives the agent its time to answer nevertheless.
  [[nodiscard]] std::optional<Clock::duration> unresponsive(Clock::time_point now) const noexcept {
    if (!waiting_ || now - answered_ < 3 * interval_ || now - asked_ < 2 * interval_) return {};
    return now - answered_;
  }

 private:
  Clock::duration interval_;
  Clock::time_point answered_;
  Clock::time_point asked_;  // while waiting_
  bool waiting_ = false;
};

}  // namespace gangway::detail
