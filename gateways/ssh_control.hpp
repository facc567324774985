// The connections that OpenSSH's clients of one group share (ControlMaster, ssh_config(5)): the
// first gateway to a host logs in, the next ones find its socket and cost a channel.
//
// The sockets are in a directory of the group's own (0700). A master that is in nobody's use
// any more ends by itself a few seconds later, so that nothing is left if we are killed.
//
// Thread rule: any thread.
#pragma once

#include <mutex>
#include <string>

namespace gangway::detail {

class SshControl {
 public:
  SshControl() = default;
  /// Ends all connections, and removes the directory.
  ~SshControl();
  SshControl(const SshControl&) = delete;
  SshControl& operator=(const SshControl&) = delete;

  /// For `-o ControlPath=`; the directory is made when it is first asked for. "" when there can
  /// be none, which costs a login per gateway.
  [[nodiscard]] std::string path();
  /// Tells the masters to end (OpenSSH's PROTOCOL.mux). Does not wait.
  void end() noexcept;

 private:
  std::mutex mutex_;
  std::string directory_;  // "": not made yet
};

}  // namespace gangway::detail
