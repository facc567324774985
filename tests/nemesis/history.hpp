// The last operations on something, for a person to read when the test has failed. Any thread.
#pragma once

#include <chrono>
#include <deque>
#include <iosfwd>
#include <mutex>
#include <string>

namespace gangway::nemesis {

class History {
 public:
  using Clock = std::chrono::steady_clock;

  /// "3.1415 s, worker 2: send 17 -> sent"
  void note(std::string text);
  void print(std::ostream& out) const;

  /// What the thread is called in its notes.
  static void name_thread(std::string name);
  /// The notes' zero.
  static void restart_clock();

 private:
  static constexpr std::size_t kept = 60;
  struct Line {
    Clock::time_point time;
    std::string thread;
    std::string text;
  };
  mutable std::mutex mutex_;
  std::deque<Line> lines_;
};

}  // namespace gangway::nemesis
