// What is known about how a process on the far side ended. A value.
#pragma once

#include <optional>
#include <string>

namespace gangway {

struct DeathRecord {
  std::optional<int> exit_status;  // when it exited
  std::optional<int> signal;       // when a signal ended it
  std::string stderr_tail;         // its last lines of stderr, at most limits::stderr_tail bytes

  /// "exit status 3", "killed by SIGSEGV (signal 11)", or "" when nothing is known.
  [[nodiscard]] std::string summary() const;
  [[nodiscard]] bool known() const noexcept { return exit_status || signal; }

  friend bool operator==(const DeathRecord&, const DeathRecord&) = default;
};

}  // namespace gangway
