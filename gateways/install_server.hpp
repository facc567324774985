// `installvia=id`: a server for one connection, started as a task in another gateway of the group.
// The connection carries a secret of its own in its first line, in the clear: as with any plain
// socket it is for this machine, and for networks that are trusted.
#pragma once

#include <gangway/xspec.hpp>

#include "gateways/open_transport.hpp"
#include "gateways/socket_opening.hpp"

namespace gangway::detail {

/// Starts the task, and does not wait for it. Throws SpecError, and Error when there is no such
/// gateway, or it has ended.
[[nodiscard]] SocketOpening::Plan install_plan(const TransportContext& context, const XSpec& spec);

}  // namespace gangway::detail
