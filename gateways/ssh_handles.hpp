// Owners of what libssh hands out. Only the ssh_*.cpp of this directory include this.
#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>  // ssh_send_keepalive: it is for clients, too

#include <memory>
#include <string>

namespace gangway::detail {

struct FreeSsh {
  void operator()(ssh_session session) const noexcept { ssh_free(session); }
  void operator()(ssh_key key) const noexcept { ssh_key_free(key); }
  void operator()(ssh_event event) const noexcept { ssh_event_free(event); }
  void operator()(ssh_knownhosts_entry* entry) const noexcept { ssh_knownhosts_entry_free(entry); }
  void operator()(char* text) const noexcept { ssh_string_free_char(text); }
};

template <class Handle>
using SshOwned = std::unique_ptr<std::remove_pointer_t<Handle>, FreeSsh>;

using SshSessionHandle = SshOwned<ssh_session>;
using SshKey = SshOwned<ssh_key>;
using SshEvent = SshOwned<ssh_event>;
using SshText = SshOwned<char*>;

/// What libssh says about the last failure of the session.
[[nodiscard]] inline std::string ssh_error_of(ssh_session session) {
  const char* const text = ssh_get_error(session);
  return text != nullptr ? text : "";
}

/// What the server says to everybody who logs in, with a line feed; "": nothing.
[[nodiscard]] inline std::string ssh_banner_of(ssh_session session) {
  const SshText text(ssh_get_issue_banner(session));
  std::string banner = text ? text.get() : "";
  if (!banner.empty() && banner.back() != '\n') banner += '\n';
  return banner;
}

/// Connected, and neither side has made a mistake. (A packet that cannot be decrypted leaves the
/// session "connected" for libssh, and nothing more comes of it.)
[[nodiscard]] inline bool is_alive(ssh_session session) {
  return ssh_is_connected(session) != 0 && (ssh_get_status(session) & (SSH_CLOSED | SSH_CLOSED_ERROR)) == 0;
}

}  // namespace gangway::detail
