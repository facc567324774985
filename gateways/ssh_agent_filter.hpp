// Stands between libssh and the ssh-agent, since libssh offers all keys of an agent in their order:
// here those that the configuration names come first, or alone (IdentitiesOnly). A server counts
// every offer (MaxAuthTries).
//
// Thread rule: it has a thread of its own, which ends with it; used by one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

/// The answer with a list of keys, in that order; every other message as it is. Nothing for a list
/// that is broken.
[[nodiscard]] std::optional<std::string> filter_identities(std::string message, const std::vector<std::string>& named,
                                                           bool only_named);

/// "AAAA..." of a public key file as the bytes that an agent has; "" for what is none.
[[nodiscard]] std::string decode_base64(std::string_view text);

class SshAgentFilter {
 public:
  /// `agent`: connected to it. `named`: public keys in the form of the wire.
  SshAgentFilter(FileDescriptor agent, std::vector<std::string> named, bool only_named);
  ~SshAgentFilter();
  SshAgentFilter(const SshAgentFilter&) = delete;
  SshAgentFilter& operator=(const SshAgentFilter&) = delete;

  /// For libssh, once.
  [[nodiscard]] FileDescriptor take_end() { return std::move(theirs_); }
  /// Shut down, it ends the conversation.
  [[nodiscard]] int agent() const noexcept { return agent_.get(); }

 private:
  void run();

  const FileDescriptor agent_;
  const std::vector<std::string> named_;
  const bool only_named_;
  FileDescriptor ours_;
  FileDescriptor theirs_;
  std::thread thread_;
};

}  // namespace gangway::detail
