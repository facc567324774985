// Finding processes that should be gone. Every agent inherits GANGWAY_COOKIE from the test
// that started it; whoever still carries it survived.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace gangway::test {

struct Survivor {
  pid_t pid;
  std::string command;  // argv, blanks between
};

/// A value no other test uses, for GANGWAY_COOKIE.
[[nodiscard]] std::string new_cookie();

/// Sets GANGWAY_COOKIE in this process's environment, so that whatever it starts carries
/// it, and restores it. The process itself is never found.
class CookieScope {
 public:
  CookieScope();
  ~CookieScope();
  CookieScope(const CookieScope&) = delete;
  CookieScope& operator=(const CookieScope&) = delete;
  [[nodiscard]] const std::string& value() const noexcept { return value_; }

 private:
  std::string value_;
  std::string previous_;
  bool had_previous_;
};

/// The processes (zombies excepted: they have no environment) that carry the cookie.
[[nodiscard]] std::vector<Survivor> find_survivors(std::string_view cookie);

/// Polls until none is left. A failure lists the survivors.
[[nodiscard]] ::testing::AssertionResult wait_for_no_survivors(
    std::string_view cookie, std::chrono::milliseconds timeout = std::chrono::seconds(10));

/// For the end of a failed test: SIGKILL to each, so that the next test starts clean.
void kill_survivors(std::string_view cookie);

}  // namespace gangway::test
