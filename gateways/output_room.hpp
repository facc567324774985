// What an output sink holds, its bounds, and who waits for room: the same for all sinks.
//
// Thread rule: guarded by the mutex of its sink.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <gangway/limits.hpp>

#include "gateways/output_sink.hpp"

namespace gangway::detail {

class OutputRoom {
 public:
  /// False: full, and `on_room` is kept for give_back().
  [[nodiscard]] bool has(std::size_t size, OutputSink::OnRoom&& on_room) {
    if (held_ == 0 || held_ + size <= limits::output_held) return true;
    wants_room_.push_back(std::move(on_room));
    return false;
  }
  /// For the last words of a process.
  [[nodiscard]] bool has_for_last_words(std::size_t size) const noexcept {
    return held_ + size <= limits::last_output_held;
  }
  void take(std::size_t size) noexcept { held_ += size; }
  /// Who is to be told, without the mutex.
  [[nodiscard]] std::vector<OutputSink::OnRoom> give_back(std::size_t size) noexcept {
    held_ -= size;
    return std::exchange(wants_room_, {});
  }
  /// Nobody is told any more; to be destroyed without the mutex.
  [[nodiscard]] std::vector<OutputSink::OnRoom> forget_waiters() noexcept { return std::exchange(wants_room_, {}); }
  [[nodiscard]] bool is_empty() const noexcept { return held_ == 0; }

 private:
  std::size_t held_ = 0;  // bytes
  std::vector<OutputSink::OnRoom> wants_room_;
};

}  // namespace gangway::detail
