// Who may take the server's time before it is known whether he may be here: a state machine
// without I/O or clock (limits.hpp has the figures and their reasons).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include <gangway/limits.hpp>

namespace gangway::detail {

class Admission {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Id = std::uint64_t;

  /// A stranger has come. When all slots are taken he gets that of the one who has had most time,
  /// who is named here and has left: in a flood of connections that say nothing, one that
  /// means it is done before its turn to go comes.
  [[nodiscard]] std::optional<Id> enter(Id id);
  /// He is no stranger any more, or gone. Unknown ids are ignored.
  void leave(Id id);
  [[nodiscard]] std::size_t strangers() const noexcept { return strangers_.size(); }

  /// From when on somebody from this source may try his secret: at once, unless others from there
  /// have failed; then one after the other.
  [[nodiscard]] Time may_try(const std::string& source, Time now);
  void failed(const std::string& source, Time now);

 private:
  std::deque<Id> strangers_;             // the first one has been here longest
  std::map<std::string, Time> penalty_;  // of sources that have failed: when the next one may try
};

}  // namespace gangway::detail
