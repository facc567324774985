// Makes the n-th allocation of an executable fail: link fail_count.cpp into it, and
// -Wl,--wrap=realloc for what Bytes allocates.
//
//     for (std::size_t n = 0;; ++n) {
//       const FailCount fail(n);        // n allocations succeed, the next one does not
//       try { work(); break; } catch (const std::bad_alloc&) {}
//     }
//
// Threads: counts those of the thread that made it.
#pragma once

#include <cstddef>

namespace gangway::testing {

class FailCount {
 public:
  explicit FailCount(std::size_t succeeding) noexcept;
  ~FailCount();
  FailCount(const FailCount&) = delete;
  FailCount& operator=(const FailCount&) = delete;

  /// Whether an allocation has failed by now.
  [[nodiscard]] bool failed() const noexcept;
};

/// Blocks that are allocated and not released, of all threads.
[[nodiscard]] std::ptrdiff_t live_blocks() noexcept;

}  // namespace gangway::testing
