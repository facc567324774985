// Waiting in tests: poll with a deadline, never sleep a guessed time.
#pragma once

#include <chrono>
#include <thread>

namespace gangway::test {

/// Whether `predicate()` became true before the deadline. Asked at least once.
template <typename Predicate>
[[nodiscard]] bool eventually(Predicate&& predicate, std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  auto pause = std::chrono::microseconds(200);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
    if (pause < std::chrono::milliseconds(10)) pause *= 2;
  }
  return true;
}

}  // namespace gangway::test
