#include "tests/support/leak_check.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>

#include <unistd.h>

#include "tests/support/poll.hpp"
#include "tests/support/sanitized.hpp"

namespace gangway::test {

namespace {

namespace fs = std::filesystem;

int number(const fs::path& path) {
  const std::string name = path.filename();
  int result = -1;
  std::from_chars(name.data(), name.data() + name.size(), result);
  return result;
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

struct Process {
  int parent = -1;
  std::string description;  // "Z (sleep)"
};

/// From /proc/PID/stat: "pid (name) state ppid ..."; the name may contain anything.
Process process(const fs::path& directory) {
  const std::string stat = first_line(directory / "stat");
  const std::size_t open = stat.find('(');
  const std::size_t close = stat.rfind(')');
  if (open == stat.npos || close == stat.npos || close + 4 >= stat.size()) return {};
  Process result;
  std::from_chars(stat.data() + close + 4, stat.data() + stat.size(), result.parent);
  result.description = stat.substr(close + 2, 1) + " " + stat.substr(open, close - open + 1);
  return result;
}

/// Calls `visit(number, path)` for each entry; processes come and go meanwhile.
template <typename Visit>
void each_entry(const char* directory, Visit visit) {
  std::error_code problem;
  for (fs::directory_iterator at(directory, problem), end; !problem && at != end; at.increment(problem)) {
    if (const int n = number(at->path()); n >= 0) visit(n, at->path());
  }
}

template <typename Map>
void list(std::string& out, const char* what, const Map& now, const Map& before) {
  for (const auto& [key, description] : now) {
    if (before.contains(key)) continue;
    out += std::string("  ") + what + " " + std::to_string(key) + ": " + description + "\n";
  }
}

class LeakListener : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { before_ = Holdings::now(); }
  void OnTestEnd(const ::testing::TestInfo&) override { EXPECT_TRUE(wait_for_no_leaks(before_)); }

  Holdings before_;
};

}  // namespace

Holdings Holdings::now() {
  // The first thread of a program brings the thread sanitizer's own.
  static const bool brought = (std::thread([] {}).join(), true);
  (void)brought;
  Holdings result;
  each_entry("/proc/self/fd", [&](int fd, const fs::path& path) {
    std::error_code problem;
    const std::string target = fs::read_symlink(path, problem);
    // The one that lists the directory is among what it lists.
    if (problem || target == "/proc/" + std::to_string(::getpid()) + "/fd") return;
    result.descriptors.emplace(fd, target);
  });
  each_entry("/proc/self/task",
             [&](int tid, const fs::path& path) { result.threads.emplace(tid, first_line(path / "comm")); });
  // Not /proc/self/task/*/children: kernels without CONFIG_PROC_CHILDREN lack it, and it
  // may miss some while others exit.
  each_entry("/proc", [&](int pid, const fs::path& path) {
    Process found = process(path);
    if (found.parent == ::getpid()) result.children.emplace(pid, std::move(found.description));
  });
  return result;
}

std::string Holdings::more_than(const Holdings& before) const {
  std::string result;
  list(result, "descriptor", descriptors, before.descriptors);
  list(result, "thread", threads, before.threads);
  list(result, "child", children, before.children);
  return result;
}

::testing::AssertionResult wait_for_no_leaks(const Holdings& before, std::chrono::milliseconds timeout) {
  std::string leaked;
  const auto none = [&] {
    leaked = Holdings::now().more_than(before);
    // It looked up a suppression, by a child and two pipes of its own.
    if (sanitized && leaked.find("(llvm-symbolizer)") != leaked.npos) leaked.clear();
    return leaked.empty();
  };
  if (eventually(none, timeout)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "left behind:\n" << leaked;
}

void install_leak_listener() {
  // gtest owns its listeners.
  ::testing::UnitTest::GetInstance()->listeners().Append(std::make_unique<LeakListener>().release());
}

}  // namespace gangway::test
