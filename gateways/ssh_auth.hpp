// The login itself: keys from files and from the ssh-agent, certificates, keyboard-interactive,
// password. Blocks, on the thread of the login.
#pragma once

#include <functional>

#include <gangway/ssh.hpp>

#include "gateways/ssh_handles.hpp"
#include "gateways/ssh_login_control.hpp"
#include "gateways/ssh_settings.hpp"

namespace gangway::detail {

/// Repeats a call of libssh until it does not say SSH_AUTH_AGAIN any more, and sleeps meanwhile.
/// Throws when the time is over.
using SshPatience = std::function<int(const std::function<int()>&)>;

/// `trusted`: the host key is known, so that a password may be given away. Throws Error
/// (auth_failed), which lists what was tried.
void authenticate(ssh_session session, const SshSettings& settings, const SshAskpass& askpass, bool trusted,
                  SshLoginControl& control, const SshPatience& patience);

}  // namespace gangway::detail
