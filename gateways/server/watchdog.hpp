// A small process that outlives the server for a moment: when the server has died without a word
// (kill -9), it ends the agents that are left.
#pragma once

#include <sys/types.h>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

class Watchdog {
 public:
  /// Forks: before any thread. Without it, when the system has no process left, agents end with their connections.
  Watchdog();

  /// `pid` is an agent's keeper, and a child of this process.
  void watch(pid_t pid) noexcept { tell(pid); }
  /// Before it is reaped: its number may be somebody else's afterwards.
  void forget(pid_t pid) noexcept { tell(-pid); }

 private:
  void tell(pid_t what) noexcept;
  FileDescriptor pipe_;
};

}  // namespace gangway::detail
