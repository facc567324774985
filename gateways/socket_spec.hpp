// What `socket=` and `unix=` say, and which secret goes with it.
#pragma once

#include <gangway/xspec.hpp>

#include "gateways/socket_opening.hpp"

namespace gangway::detail {

/// What does not depend on the address.
[[nodiscard]] SocketOpening::Plan common_plan(const XSpec& spec);
/// Throws SpecError for an address that is none, Error for a secret that cannot be had.
[[nodiscard]] SocketOpening::Plan socket_plan(const XSpec& spec);

}  // namespace gangway::detail
