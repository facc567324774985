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

/// Before that no stranger has to leave for others who wait: 20 times what a handshake takes here.
inline constexpr std::chrono::milliseconds greeting_least{50};

class Admission {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Id = std::uint64_t;

  /// When the next stranger may come: at once, unless all slots are taken by some who have not had the
  /// time that one needs who means it.
  [[nodiscard]] Time room_at(Time now) const noexcept;
  /// A stranger has come. When all slots are taken he gets that of the one who has had most time,
  /// who is named here and has left.
  [[nodiscard]] std::optional<Id> enter(Id id, Time now);
  /// He is no stranger any more, or gone. Unknown ids are ignored.
  void leave(Id id);
  [[nodiscard]] std::size_t strangers() const noexcept { return strangers_.size(); }

  /// From when on somebody from this source may try his secret: at once, unless others from there
  /// have failed; then one after the other.
  [[nodiscard]] Time may_try(const std::string& source, Time now);
  void failed(const std::string& source, Time now);

 private:
  struct Stranger {
    Id id;
    Time since;
  };
  std::deque<Stranger> strangers_;       // the first one has been here longest
  std::map<std::string, Time> penalty_;  // of sources that have failed: when the next one may try
};

}  // namespace gangway::detail
