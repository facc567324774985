// A gwserver of a test's own, on an address that nobody else uses.
//
// It carries the test's cookie, and so do its agents.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/process.hpp"

namespace gangway::test {

class ServerProcess {
 public:
  /// Starts build_bin()/gwserver with these arguments and waits for its addresses.
  /// `before`: a command that executes it, like {"ip", "netns", "exec", "x"}.
  explicit ServerProcess(const std::vector<std::string>& arguments,
                         const std::vector<std::pair<std::string, std::string>>& environment = {},
                         std::vector<std::string> before = {});
  ~ServerProcess();

  /// "127.0.0.1:41234", "/tmp/x/socket": the first that it listens on, "" when it does not.
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  [[nodiscard]] std::string socket_spec() const { return "socket=" + address_; }
  [[nodiscard]] pid_t pid() const noexcept { return child_.pid(); }
  void signal(int number) { child_.signal(number); }
  [[nodiscard]] std::optional<detail::ExitStatus> wait(std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    return child_.wait_for(timeout);
  }
  /// What it has written to its stderr so far.
  [[nodiscard]] std::string log() const;

 private:
  detail::ChildProcess child_;
  detail::FileDescriptor log_;  // a file without a name
  std::string address_;
};

}  // namespace gangway::test
