// Which user of this machine is at the other end of a connection.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>

#include "gateways/socket_address.hpp"

namespace gangway::detail {

/// Of a Unix socket who connected; of a TCP connection within this machine who owns the other
/// socket now. Nothing when the system does not say: from elsewhere, or closed already.
[[nodiscard]] std::optional<uid_t> peer_user(int socket);

/// The owner of the established connection from `from` to `to` in a table as /proc/net/tcp or
/// /proc/net/tcp6 has it.
[[nodiscard]] std::optional<uid_t> owner_in_table(std::string_view table, const SocketAddress& from,
                                                  const SocketAddress& to);

}  // namespace gangway::detail
