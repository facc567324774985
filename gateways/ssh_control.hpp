// The connections that OpenSSH's clients of one group share (ControlMaster, ssh_config(5)): the
// first gateway to a host logs in, the next ones find its socket and cost a channel; those that start
// meanwhile wait.
//
// The sockets are in a directory of the group's own (0700). A master that is in nobody's use
// any more ends by itself a few seconds later, so that nothing is left if we are killed.
//
// Thread rule: any thread.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <gangway/xspec.hpp>

#include "core/fork_guard.hpp"

namespace gangway::detail {

class SshControl {
 public:
  SshControl() = default;
  /// Ends all connections, and removes the directory.
  ~SshControl();
  SshControl(const SshControl&) = delete;
  SshControl& operator=(const SshControl&) = delete;

  /// For `-o ControlPath=`, one for all that say the same of their connection; the directory is made
  /// when it is first asked for. "" when there can be none, which costs a login per gateway.
  [[nodiscard]] std::string path(const XSpec& spec);

  enum class Turn {
    start,   // there is a connection to share
    log_in,  // there is none: the caller makes it, and says login_over()
    wait,    // somebody makes it: `turn` is called once when that is over, well or not, on any thread
  };
  [[nodiscard]] Turn enter(const std::string& path, std::function<void()> turn);
  /// Whether the connection can be shared now.
  [[nodiscard]] static bool has_master(const std::string& path);
  void login_over(const std::string& path) noexcept;

  /// Tells the masters to end (OpenSSH's PROTOCOL.mux). Does not wait.
  void end() noexcept;

 private:
  const ForkGuard fork_;
  std::mutex mutex_;
  std::string directory_;                                             // "": not made yet
  std::vector<std::string> destinations_;                             // a path's last part is the place in here
  std::map<std::string, std::vector<std::function<void()>>> logins_;  // under way, and who waits for them
};

}  // namespace gangway::detail
