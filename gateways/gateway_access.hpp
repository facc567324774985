// What is behind a Gateway, for what is close to the wire itself: the Python package.
#pragma once

#include <utility>

#include <gangway/group.hpp>

#include "gateways/gateway_state.hpp"

namespace gangway::detail {

struct GatewayAccess {
  [[nodiscard]] static Gateway gateway(std::shared_ptr<GatewayState> state) { return Gateway(std::move(state)); }
  /// Throws Error (group_error) for a handle that refers to nothing.
  [[nodiscard]] static GatewayState& state(const Gateway& gateway) { return gateway.state(); }
  /// Group::makegateway without the wait for the handshake, for which GatewayState::wait_ready()
  /// is left; a gateway that does not get there must be told to exit(). Throws SpecError, StartError.
  [[nodiscard]] static Gateway launch(Group& group, XSpec spec) { return Gateway(group.launch(spec)); }
};

}  // namespace gangway::detail
