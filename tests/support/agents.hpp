// The agents that the behaviour suite and the fault tests run against, and their fixture.
//
//   class Exec : public gangway::test::AgentTest {};
//   INSTANTIATE_TEST_SUITE_P(, Exec, gangway::test::main_agents(), gangway::test::agent_name);
//   TEST_P(Exec, runs_source) { Gateway gateway = start(); ... }
//
// A test of an interpreter that is not here is skipped and says so. The native agent may
// be missing only from a build that was configured without it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gangway/gangway.hpp>

#include "tests/support/leak_check.hpp"
#include "tests/support/survivors.hpp"

namespace gangway::test {

using namespace std::chrono_literals;

struct Agent {
  std::string name;     // as it stands in the name of a test
  std::string spec;     // "popen", "popen//python=/usr/bin/python3"
  std::string missing;  // why it cannot be used; "": it can

  [[nodiscard]] bool native() const { return name == "native" || warm() || extension(); }
  [[nodiscard]] bool warm() const { return name == "warm"; }
  [[nodiscard]] bool extension() const { return name == "extension"; }
  friend std::ostream& operator<<(std::ostream& out, const Agent& agent) { return out << agent.spec; }
};

/// The native agent, the same forked from a warm server, the same loaded by an interpreter, and the
/// portable one in Debian's Python.
[[nodiscard]] const std::vector<Agent>& main_agents();
/// Those, and the portable agent in every other Python from 3.6 on and in PyPy: from
/// GANGWAY_TEST_PYTHONS (paths, colons between), PATH, or ~/.pyenv/versions.
[[nodiscard]] const std::vector<Agent>& all_agents();
/// For INSTANTIATE_TEST_SUITE_P.
[[nodiscard]] std::string agent_name(const ::testing::TestParamInfo<Agent>& info);

/// A variable of this process's environment that is set back.
class EnvironmentScope {
 public:
  EnvironmentScope(std::string name, std::optional<std::string> value);
  ~EnvironmentScope();
  EnvironmentScope(const EnvironmentScope&) = delete;
  EnvironmentScope& operator=(const EnvironmentScope&) = delete;

 private:
  std::string name_;
  std::optional<std::string> previous_;
};

/// A group, whose processes, descriptors and threads must all be gone at the end of the test.
class GroupTest : public ::testing::Test {
 protected:
  GroupTest() = default;
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] Group& group() { return *group_; }
  [[nodiscard]] const std::string& cookie() const { return cookie_->value(); }
  /// Ends the group early, to look at what is left.
  void end_group() { group_.reset(); }

 private:
  Holdings before_;
  std::optional<CookieScope> cookie_;
  std::optional<Group> group_;
};

class AgentTest : public GroupTest, public ::testing::WithParamInterface<Agent> {
 protected:
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] bool native() const { return GetParam().native(); }
  /// The agent's spec and these parts: spec("nice=3//id=a").
  [[nodiscard]] static std::string spec(std::string_view more = {});
  [[nodiscard]] Gateway start(std::string_view more = {}) { return group().makegateway(spec(more)); }

 private:
  std::optional<EnvironmentScope> form_;  // of the native agent
};

/// So long a test waits for what should come at once, on a machine that is busy.
inline constexpr std::chrono::seconds patience{20};

/// The next item, with a deadline.
[[nodiscard]] Value take(Channel& channel);
template <class T>
[[nodiscard]] T take(Channel& channel) {
  return value_to<T>(take(channel));
}
/// Runs source, and gives the one item that it sends.
[[nodiscard]] Value ask(Gateway gateway, std::string_view source);
template <class T>
[[nodiscard]] T ask(Gateway gateway, std::string_view source) {
  return value_to<T>(ask(std::move(gateway), source));
}
/// The error that a channel ends with; a failure when it ends well or not at all.
[[nodiscard]] std::string remote_error(Channel channel);
/// The error of a lost connection that a channel ends with.
[[nodiscard]] ConnectionLost lost(Channel channel);

/// `text` as Bytes.
[[nodiscard]] inline Bytes bytes_of(std::string_view text) { return Bytes(text); }
[[nodiscard]] Bytes zeros(std::size_t size);

/// The native agent in an interpreter that loads the extension module; no command where there is none.
[[nodiscard]] NativeAgent extension_agent();

/// Where the native agent's or the test's programs are built.
[[nodiscard]] std::string build_bin();

/// A directory that is removed again.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  /// Writes a file; gives its path.
  std::string write(std::string_view name, std::string_view content, bool executable = false) const;

 private:
  std::string path_;
};

}  // namespace gangway::test
