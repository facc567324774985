// Tells a forked child from its parent. A child has copies of every object here and none
// of the threads: it must neither speak on a connection nor end what belongs to its parent.
// Any thread; async-signal-safe.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

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

/// For the destructors of a forked child: takes `owner` away and never destroys it, for what
/// it holds is a copy of its parent's. Allocates nothing.
template <typename Owner>
void abandon(Owner& owner) noexcept {
  static_assert(std::is_nothrow_move_constructible_v<Owner>);
  alignas(Owner) std::byte room[sizeof(Owner)];
  new (room) Owner(std::move(owner));
}

}  // namespace gangway::detail
