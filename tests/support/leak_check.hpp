// Fails a test that leaves descriptors, threads or children behind.
//
//   class SomethingTest : public gangway::test::LeakCheckedTest {};
//
// or for a whole program, in main: gangway::test::install_leak_listener().
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>

namespace gangway::test {

/// What this process holds right now, with a description of each.
struct Holdings {
  std::map<int, std::string> descriptors;  // number -> what it refers to
  std::map<int, std::string> threads;      // tid -> name
  std::map<int, std::string> children;     // pid -> state and name, zombies included

  [[nodiscard]] static Holdings now();
  /// A line per thing that is held here and not in `before`; "" when there is none.
  [[nodiscard]] std::string more_than(const Holdings& before) const;
};

/// Polls until no more is held than `before`; a failure lists what is.
[[nodiscard]] ::testing::AssertionResult wait_for_no_leaks(const Holdings& before,
                                                           std::chrono::milliseconds timeout = std::chrono::seconds(3));

class LeakCheckedTest : public ::testing::Test {
 protected:
  void SetUp() override { before_ = Holdings::now(); }
  /// A fixture that overrides this ends its own things first, then calls it.
  void TearDown() override { EXPECT_TRUE(wait_for_no_leaks(before_)); }

 private:
  Holdings before_;
};

/// Checks every test of the program, fixtures' members included.
void install_leak_listener();

}  // namespace gangway::test
