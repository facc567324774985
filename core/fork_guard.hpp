// Tells a forked child from its parent. A child has copies of every object here and none
// of the threads: it must neither speak on a connection nor end what belongs to its parent.
// Any thread; async-signal-safe.
#pragma once

namespace gangway::detail {

/// How many forks stand between the first process that used Gangway and this one.
[[nodiscard]] unsigned fork_generation() noexcept;

/// Remembers the process in which it was made.
class ForkGuard {
 public:
  ForkGuard() noexcept : made_in_(fork_generation()) {}
  [[nodiscard]] bool in_child() const noexcept { return made_in_ != fork_generation(); }

 private:
  unsigned made_in_;
};

}  // namespace gangway::detail
