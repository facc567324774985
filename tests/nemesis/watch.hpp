// Who is in which call since when: finds the call that does not return although it must.
//
// A call has a bound from the beginning (it has a deadline, or never waits), or none until
// its gateway is dead; from then on it has to end within `end_after_death`.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace gangway::nemesis {

struct Conversation;
struct Host;

using Clock = std::chrono::steady_clock;

/// What a call may take beyond its deadline on a machine that is busy. The product's own
/// figures are in milliseconds; and at most 1.5 s from the death of an agent to its news.
inline constexpr std::chrono::seconds slack{8};
inline constexpr std::chrono::seconds end_after_death{8};

class Watch {
 public:
  struct Entry {
    std::string what;
    std::shared_ptr<Host> host;
    std::shared_ptr<Conversation> conversation;
    Clock::time_point begin;
    std::optional<Clock::time_point> latest;
  };
  /// A call under way, until this is destroyed. Movable: asynchronous ones end elsewhere.
  class Call {
   public:
    Call(Watch& watch, Entry entry);
    ~Call();
    Call(Call&& other) noexcept;
    Call& operator=(Call&&) = delete;

   private:
    Watch* watch_;
    std::list<Entry>::iterator entry_;
  };

  /// Those that are late now, each as "receive, for 9.1 s".
  void check(const std::function<void(const std::string&, const Entry&)>& late) const;
  [[nodiscard]] std::size_t size() const;
  /// The longest that any call has taken beyond its bound's beginning, for the record.
  [[nodiscard]] Clock::duration longest_after_death() const;

 private:
  mutable std::mutex mutex_;
  std::list<Entry> entries_;
  Clock::duration longest_after_death_{};
};

}  // namespace gangway::nemesis
