// From a destination to an authenticated session: name, TCP connection, key exchange, host key,
// login. On a thread of its own, because names, files, agents and people take their time; libssh
// itself is never let wait, so that the login can be given up at any moment.
#pragma once

#include <gangway/ssh.hpp>

#include "core/file_descriptor.hpp"
#include "core/runtime.hpp"
#include "gateways/ssh_handles.hpp"
#include "gateways/ssh_login_control.hpp"
#include "gateways/ssh_settings.hpp"

namespace gangway::detail {

struct SshLogin {
  const SshSettings& settings;
  const SshAskpass& askpass;
  SshLoginControl& control;
  Clock::time_point deadline;

  /// A non-blocking session that is logged in. `proxied`: what leads to the server, when that is
  /// no connection of our own. A server that hangs up before it has said a word (sshd:
  /// MaxStartups) is tried again until the deadline. Throws Error: code and text are for the user.
  [[nodiscard]] SshSessionHandle run(FileDescriptor proxied) const;

 private:
  [[nodiscard]] FileDescriptor connect() const;
  [[nodiscard]] SshSessionHandle handshake(FileDescriptor fd, const std::string& key_types) const;
  void check_host_key(ssh_session session, bool& trusted) const;
};

}  // namespace gangway::detail
