// How agents have ended, for the clients that ask: a state machine without I/O or clock
// (limits.hpp has the figures and their reasons).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <gangway/death_record.hpp>
#include <gangway/limits.hpp>

namespace gangway::detail {

class DeathBook {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Id = std::uint64_t;

  /// A connection, and the token that its client will ask with; "" asks nothing.
  void enter(Id id, std::string token);
  /// Its agent has ended. Ids that have not entered are ignored.
  void died(Id id, DeathRecord record, Time now);

  /// The connection of a token, whether its agent lives or not.
  [[nodiscard]] std::optional<Id> find(std::string_view token, Time now);
  /// Told once. Nothing while the agent lives.
  [[nodiscard]] std::optional<DeathRecord> take(Id id);
  [[nodiscard]] std::size_t deaths() const noexcept;

 private:
  struct Entry {
    std::string token;
    std::optional<Time> since;  // which its agent is dead
    DeathRecord record;
  };
  using Entries = std::map<Id, Entry>;

  void forget_old(Time now);
  [[nodiscard]] Entries::iterator oldest_death();

  Entries entries_;
};

}  // namespace gangway::detail
