// How the end of an agent is enforced: a state machine without I/O or clock.
//
// Asked (the terminate frame was sent), the agent has until its deadline; then its keeper
// is told to kill it (TERM), and if that does not help the process is killed outright.
// A process that outlives even that is reported as a survivor. spec-docs/termination.md
#pragma once

#include <chrono>
#include <optional>

#include <gangway/limits.hpp>

namespace gangway::detail {

class Termination {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Action {
    wait,        // until next() at most
    ask_keeper,  // tell the keeper to kill the agent's group
    kill,        // kill the keeper's group, and with it the agent
    give_up,     // it cannot be killed
    done,        // it is gone
  };

  /// No deadline: wait for ever, never kill.
  explicit Termination(std::optional<Time> deadline) : next_(deadline) {}

  [[nodiscard]] Action resume(bool gone, Time now) noexcept {
    if (gone) return Action::done;
    if (!next_ || now < *next_) return Action::wait;
    switch (phase_) {
      case Phase::asked:
        phase_ = Phase::keeper_asked;
        next_ = now + limits::term_grace;
        return Action::ask_keeper;
      case Phase::keeper_asked:
        phase_ = Phase::killed;
        next_ = now + limits::kill_grace;
        return Action::kill;
      case Phase::killed: return Action::give_up;
    }
    return Action::give_up;
  }

  /// When resume wants to be called again, at the latest.
  [[nodiscard]] std::optional<Time> next() const noexcept { return next_; }
  /// It did not go when asked.
  [[nodiscard]] bool killed() const noexcept { return phase_ != Phase::asked; }

 private:
  enum class Phase { asked, keeper_asked, killed };
  Phase phase_ = Phase::asked;
  std::optional<Time> next_;
};

}  // namespace gangway::detail
