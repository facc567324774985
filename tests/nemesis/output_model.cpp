#include "tests/nemesis/output_model.hpp"

#include <algorithm>
#include <string>

namespace gangway::nemesis {

Verdict OutputModel::came(std::uint32_t channel, std::string_view text, bool may_be_cut) {
  const std::lock_guard lock(mutex_);
  const bool is_new = !tasks_.contains(channel);
  Task& task = tasks_[channel];
  const std::string where = "output of channel " + std::to_string(channel) + ": ";
  while (!text.empty()) {
    if (task.cut) return where + "more after its end";
    const std::size_t end = text.find('\n');
    if (end == text.npos) {
      task.cut = true;
      return may_be_cut ? Verdict() : where + "a line without its end: " + std::string(text.substr(0, 100));
    }
    const auto line = read_item(Value(std::string(text.substr(0, end))));
    if (!line) return where + "a damaged line: " + std::string(text.substr(0, std::min<std::size_t>(end, 100)));
    if (is_new && task.next == 0) task.lane = line->lane;
    if (line->lane != task.lane) return where + "a line of lane " + std::to_string(line->lane);
    if (line->number != task.next)
      return where + "line " + std::to_string(line->number) + " came, and not line " + std::to_string(task.next);
    arrived_[task.lane] = ++task.next;
    text.remove_prefix(end + 1);
  }
  return {};
}

void OutputModel::printed(std::uint32_t lane, std::uint32_t count) {
  const std::lock_guard lock(mutex_);
  printed_[lane] = count;
}

Verdict OutputModel::settled() const {
  const std::lock_guard lock(mutex_);
  std::string wrong;
  for (const auto& [lane, count] : printed_) {
    const auto found = arrived_.find(lane);
    const std::uint32_t arrived = found == arrived_.end() ? 0 : found->second;
    if (arrived != count)
      wrong += (wrong.empty() ? "" : "; ") + std::to_string(arrived) + " lines of lane " + std::to_string(lane) +
               " came, and " + std::to_string(count) + " were printed";
  }
  if (!wrong.empty()) return wrong + " (" + std::to_string(arrived_.size()) + " lanes came)";
  return {};
}

}  // namespace gangway::nemesis
