#include "tests/nemesis/history.hpp"

#include <atomic>
#include <cstdio>
#include <ostream>

namespace gangway::nemesis {

namespace {

thread_local std::string thread_name = "a handler";
std::atomic<History::Clock::time_point> zero{};

}  // namespace

void History::name_thread(std::string name) { thread_name = std::move(name); }
void History::restart_clock() { zero = Clock::now(); }

void History::note(std::string text) {
  const std::lock_guard lock(mutex_);
  lines_.push_back({Clock::now(), thread_name, std::move(text)});
  if (lines_.size() > kept) lines_.pop_front();
}

void History::print(std::ostream& out) const {
  const std::lock_guard lock(mutex_);
  for (const Line& line : lines_) {
    char time[32];
    std::snprintf(time, sizeof time, "%9.4f s, ", std::chrono::duration<double>(line.time - zero.load()).count());
    out << time << line.thread << ": " << line.text << "\n";
  }
}

}  // namespace gangway::nemesis
