// What the fault tests share: agents behind wrappers, processes, cgroups, the fault_controller.
#pragma once

#include <gmock/gmock.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/process.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// Lets an agent that is built with sanitizers crash as any program does.
class CrashesAreCrashes {
 public:
  CrashesAreCrashes() : options_("ASAN_OPTIONS", given() + ":handle_segv=0:handle_abort=0:handle_sigbus=0") {}

 private:
  static std::string given() {
    const char* const options = std::getenv("ASAN_OPTIONS");
    return options == nullptr ? "" : options;
  }
  EnvironmentScope options_;
};

/// A process of somebody else's as /proc shows it. Empty when it is gone.
struct ProcStat {
  char state = 0;
  pid_t parent = 0;

  [[nodiscard]] static ProcStat of(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t at = text.rfind(')');
    if (at == text.npos || at + 4 >= text.size()) return {};
    return {text[at + 2], static_cast<pid_t>(std::strtol(text.c_str() + at + 4, nullptr, 10))};
  }
};

[[nodiscard]] inline bool is_alive(pid_t pid) {
  const char state = ProcStat::of(pid).state;
  return state != 0 && state != 'Z';
}

/// Resident memory of this process in bytes.
[[nodiscard]] inline std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t pages = 0;
  file >> all >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

[[nodiscard]] inline std::size_t open_descriptors() { return Holdings::now().descriptors.size(); }

inline pid_t worker_pid(const Gateway& gateway) { return static_cast<pid_t>(gateway.info().pid); }
/// The keeper is what was spawned; the worker is its child.
inline pid_t keeper_pid(const Gateway& gateway) { return ProcStat::of(worker_pid(gateway)).parent; }

class FaultTest : public AgentTest {
 protected:
  using Clock = std::chrono::steady_clock;

  /// The spec of an agent that `body`, a shell script, starts with: exec "$@"
  std::string wrapped(std::string_view body, std::string_view more = {}) {
    const std::string number = std::to_string(++wrappers_);
    const std::string script = directory_.write("wrap" + number, "#!/bin/sh\n" + std::string(body) + "\n", true);
    std::string text = "popen";
    if (native()) {
      const char* const given = std::getenv("GANGWAY_AGENT");
      const std::string agent =
          given != nullptr && agent_variable_ == std::nullopt ? given : build_bin() + "/gangway-agent";
      agent_variable_.emplace(
          "GANGWAY_AGENT",
          directory_.write("agent" + number, "#!/bin/sh\nexec " + script + " " + agent + " \"$@\"\n", true));
    } else {
      text += "//python=" + script + " " + GetParam().spec.substr(GetParam().spec.find("python=") + 7);
    }
    if (!more.empty()) text += "//" + std::string(more);
    return text;
  }
  /// Waits until no agent is left. A warm server is none, and stays as long as its group; a
  /// group with several native agents has one, too.
  [[nodiscard]] ::testing::AssertionResult wait_for_no_agents(std::chrono::milliseconds timeout = 10s) {
    if (!native()) return wait_for_no_survivors(cookie(), timeout);
    if (eventually([&] { return find_survivors(cookie()).size() <= 1; }, timeout)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "more than the warm server is left";
  }
  void TearDown() override {
    agent_variable_.reset();
    AgentTest::TearDown();
  }

  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }

 private:
  TemporaryDirectory directory_;
  int wrappers_ = 0;
  std::optional<EnvironmentScope> agent_variable_;
};

/// A cgroup (v1 or v2) that is removed again. Empty path: there is none to be had here.
class Cgroup {
 public:
  explicit Cgroup(const std::string& controller) {
    const std::string name = "/gangway-test-" + std::to_string(::getpid());
    std::error_code problem;
    for (const std::string& root : {"/sys/fs/cgroup/" + controller, std::string("/sys/fs/cgroup")}) {
      // v2 has its controllers in one tree, and says which ones a child gets.
      v2_ = root == "/sys/fs/cgroup";
      if (v2_) {
        std::ifstream file(root + "/cgroup.subtree_control");
        std::string all{std::istreambuf_iterator<char>(file), {}};
        if (controller != "freezer" && all.find(controller) == all.npos) continue;
        if (!std::filesystem::exists(root + "/cgroup.controllers")) continue;
      }
      if (std::filesystem::create_directory(root + name, problem)) {
        path_ = root + name;
        return;
      }
    }
  }
  ~Cgroup() {
    if (path_.empty()) return;
    EXPECT_TRUE(eventually([&] { return ::rmdir(path_.c_str()) == 0; }));
  }
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  [[nodiscard]] explicit operator bool() const { return !path_.empty(); }
  [[nodiscard]] bool v2() const { return v2_; }
  bool write(const std::string& file, const std::string& text) const {
    std::ofstream out(path_ + "/" + file);
    out << text << std::flush;
    return out.good();
  }
  [[nodiscard]] bool add(pid_t pid) const { return write("cgroup.procs", std::to_string(pid)); }
  [[nodiscard]] bool freeze(bool frozen) const {
    return v2_ ? write("cgroup.freeze", frozen ? "1" : "0") : write("freezer.state", frozen ? "FROZEN" : "THAWED");
  }

 private:
  std::string path_;
  bool v2_ = false;
};

/// A program that holds gateways: tests/faults/fault_controller.cpp.
class ControllerProcess {
 public:
  /// fault_controller MODE SPEC COUNT FANOUT
  ControllerProcess(const std::string& mode, const std::string& spec, int count = 1, int fanout = 0) {
    detail::Pipe out = detail::make_pipe();
    const detail::FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    detail::SpawnRequest request;
    request.argv = {build_bin() + "/fault_controller", mode, spec, std::to_string(count), std::to_string(fanout)};
    request.descriptors = {{null.get(), 0}, {out.write.get(), 1}};
    child_ = detail::ChildProcess::start(request);
    out_ = std::move(out.read);
  }

  /// Waits for "ready"; gives what it wrote after that word: the pids of the workers.
  [[nodiscard]] std::vector<pid_t> ready(std::chrono::seconds timeout = std::chrono::seconds(60)) {
    std::string text;
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (text.find('\n') == text.npos && std::chrono::steady_clock::now() < deadline) {
      pollfd wait{out_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 100) <= 0) continue;
      char buffer[4096];
      const ssize_t size = ::read(out_.get(), buffer, sizeof buffer);
      if (size <= 0) break;
      text.append(buffer, static_cast<std::size_t>(size));
    }
    EXPECT_TRUE(text.starts_with("ready")) << text;
    std::istringstream words(text);
    std::string word;
    words >> word;
    std::vector<pid_t> pids;
    for (pid_t pid; words >> pid;) pids.push_back(pid);
    return pids;
  }
  void signal(int number) { child_.signal(number); }
  [[nodiscard]] std::optional<detail::ExitStatus> wait(std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    return child_.wait_for(timeout);
  }

 private:
  detail::ChildProcess child_;
  detail::FileDescriptor out_;
};

}  // namespace gangway::test
