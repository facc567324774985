// What the tasks of a gateway print: numbered lines, each task its own. They have to come whole, in
// order, once, and as output of that task. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>

#include "tests/nemesis/model.hpp"

namespace gangway::nemesis {

class OutputModel {
 public:
  /// What a callback got. `may_be_cut`: a task may have ended within a line.
  [[nodiscard]] Verdict came(std::uint32_t channel, std::string_view text, bool may_be_cut);
  /// A task has said that it had printed so many lines before.
  void printed(std::uint32_t lane, std::uint32_t count);
  /// Everything that was printed and reported has come.
  [[nodiscard]] Verdict settled() const;

 private:
  struct Task {
    std::uint32_t lane = 0;
    std::uint32_t next = 0;  // the number of the next line
    bool cut = false;        // by its end
  };
  mutable std::mutex mutex_;
  std::map<std::uint32_t, Task> tasks_;             // by channel
  std::map<std::uint32_t, std::uint32_t> arrived_;  // lane: lines
  std::map<std::uint32_t, std::uint32_t> printed_;
};

}  // namespace gangway::nemesis
