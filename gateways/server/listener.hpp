// The sockets that the server listens on: its own, or those that systemd has opened.
#pragma once

#include <string>
#include <vector>

#include "core/file_descriptor.hpp"
#include "gateways/socket_address.hpp"

namespace gangway::detail {

struct Listener {
  FileDescriptor socket;  // non-blocking
  SocketAddress address;
  std::string unlink;  // a path of ours, to be removed at the end
};

/// "host:port", "*:port", a path with a "/" in it, or "@name". Others than this user can only connect
/// to a path when `others`. Throws Error that says what is wrong.
[[nodiscard]] std::vector<Listener> listen_on(const std::string& where, bool others);

/// sd_listen_fds(3). Takes the variables out of the environment. Throws Error.
[[nodiscard]] std::vector<Listener> inherited_listeners();

/// Removes the socket from the file system, if it is still ours.
void forget(const Listener& listener) noexcept;

}  // namespace gangway::detail
