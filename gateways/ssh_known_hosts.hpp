// Whether a server is the one it should be: the known_hosts files of OpenSSH, names hashed or
// not, with @revoked. (@cert-authority lines are passed over: libssh knows no host certificates.)
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateways/ssh_handles.hpp"
#include "gateways/ssh_settings.hpp"

namespace gangway::detail {

class SshKnownHosts {
 public:
  /// Reads the files; one that is not there is an empty one. Throws StartError for what cannot be
  /// read, is no file or is too large.
  explicit SshKnownHosts(const SshSettings& settings);

  /// The key types that are known for this host first, so that the server shows one of these:
  /// for SSH_OPTIONS_HOSTKEYS. Empty: libssh's order will do.
  [[nodiscard]] std::string key_types() const;

  enum class Verdict { known, unknown, changed, revoked };
  [[nodiscard]] Verdict check(ssh_key key) const;
  /// Where the line is that speaks against the key: "FILE:LINE". After check() only.
  [[nodiscard]] const std::string& place() const noexcept { return place_; }

  /// A line for the key at the end of the first of the user's files. Throws StartError.
  void add(ssh_key key) const;

 private:
  struct Entry {
    SshKey key;
    bool revoked;
    std::string place;
  };
  void read(const std::string& path);

  const std::string name_;
  const std::string file_;      // for add()
  const bool hash_names_;       // there
  std::vector<Entry> entries_;  // those for this host
  mutable std::string place_;
};

/// "SHA256:..." as OpenSSH shows it; "" when that failed.
[[nodiscard]] std::string fingerprint(ssh_key key);

}  // namespace gangway::detail
