// Where an ssh connection goes and how: what `ssh=`, `ssh_config=` and the configuration files
// say, with every default in place. Two gateways share a connection if their settings are equal.
//
// A value.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gangway/xspec.hpp>

namespace gangway::detail {

enum class StrictHostKeys {
  yes,         // unknown and changed keys are refused ("ask" too: nobody is asked)
  accept_new,  // an unknown key is stored
  no,          // dangerous: unknown keys are stored, a changed one is used without passwords
};

struct SshSettings {
  std::string name;  // as the user wrote it, for messages
  std::string host;
  std::string user;
  int port = 22;
  int family = 0;  // AF_UNSPEC, AF_INET, AF_INET6
  std::string bind_address;

  std::vector<std::string> identity_files;  // those of the user's, else the usual ones
  bool identities_given = false;
  std::vector<std::string> certificate_files;
  bool identities_only = false;
  std::string agent_socket;  // "": none
  bool publickey = true;
  bool keyboard_interactive = true;
  bool password = true;
  bool batch_mode = false;
  int password_prompts = 3;

  StrictHostKeys strict_host_keys = StrictHostKeys::yes;
  std::string host_key_name;  // HostKeyAlias; "": host and port
  std::vector<std::string> user_known_hosts;
  bool hash_known_hosts = false;  // the names that are added
  std::vector<std::string> global_known_hosts;

  int compression = 0;  // level of zlib; 0: none
  std::string ciphers;  // these five as libssh and OpenSSH write them; "": libssh's
  std::string macs;
  std::string kex_algorithms;
  std::string host_key_algorithms;
  std::string pubkey_algorithms;

  std::string proxy_command;       // expanded
  std::vector<SshSettings> jumps;  // at most one: the host to go through, which may have its own
  std::optional<std::chrono::milliseconds> connect_timeout;
  std::chrono::milliseconds keepalive{};

  /// "user@host", with the port unless it is 22.
  [[nodiscard]] std::string destination() const;
  /// As known_hosts has it: "host", or "[host]:port".
  [[nodiscard]] std::string known_hosts_name() const;

  friend bool operator==(const SshSettings&, const SshSettings&) = default;
};

/// Of a spec with `ssh=`. Reads the configuration files. Throws SpecError, StartError.
[[nodiscard]] SshSettings ssh_settings(const XSpec& spec);

}  // namespace gangway::detail
