// What a process would inherit if it were started now, by this thread: two agents with equal
// states cannot tell from each other by which of two processes they were started.
#pragma once

#include <optional>
#include <string>

#include "core/process.hpp"

namespace gangway::detail {

class LaunchState {
 public:
  /// Environment, arguments and executable of the request; working and root directory,
  /// umask, user and groups, capabilities, ignored signals, CPUs and memory nodes, limits,
  /// priorities, namespaces, control groups. Some 0.1 ms. Nothing when the system does not say.
  [[nodiscard]] static std::optional<LaunchState> now(const SpawnRequest& request);

  friend bool operator==(const LaunchState&, const LaunchState&) = default;

 private:
  std::string text_;
};

}  // namespace gangway::detail
