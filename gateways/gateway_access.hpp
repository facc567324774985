// What is behind a Gateway, for what is close to the wire itself: the Python package.
#pragma once

#include <gangway/gateway.hpp>

#include "gateways/gateway_state.hpp"

namespace gangway::detail {

struct GatewayAccess {
  [[nodiscard]] static Gateway gateway(std::shared_ptr<GatewayState> state) { return Gateway(std::move(state)); }
  /// Throws Error (group_error) for a handle that refers to nothing.
  [[nodiscard]] static GatewayState& state(const Gateway& gateway) { return gateway.state(); }
};

}  // namespace gangway::detail
