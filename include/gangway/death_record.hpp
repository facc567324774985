// What is known about how a process on the far side ended. A value.
#pragma once

#include <optional>
#include <string>

namespace gangway {

struct DeathRecord {
  std::optional<int> exit_status;  // when it exited
  std::optional<int> signal;       // when a signal ended it
  std::string stderr_tail;         // its last lines of stderr, at most limits::stderr_tail bytes
  bool killed_here = false;        // by Gateway::kill, Group::terminate, or because its connection was lost
  // Whether the kernel has killed any process for lack of memory since this one was started;
  // nothing where the kernel does not say.
  std::optional<bool> out_of_memory = {};

  /// One line, "" when nothing is known:
  ///   exit status 3
  ///   killed by SIGSEGV (signal 11)
  ///   killed by SIGABRT (signal 6): Fatal Python error: ...    as its stderr says
  ///   killed by SIGKILL (signal 9), by this program
  ///   killed by SIGKILL (signal 9), from outside               followed by what out_of_memory says
  [[nodiscard]] std::string summary() const;
  [[nodiscard]] bool known() const noexcept { return exit_status || signal; }

  friend bool operator==(const DeathRecord&, const DeathRecord&) = default;
};

}  // namespace gangway
