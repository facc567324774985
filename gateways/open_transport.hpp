// From a spec to the transport that it names.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <gangway/xspec.hpp>

#include "core/runtime.hpp"
#include "gateways/bootstrap.hpp"
#include "gateways/found_interpreters.hpp"
#include "gateways/ssh_control.hpp"
#include "gateways/transport.hpp"
#include "gateways/warm_start.hpp"

namespace gangway::detail {

class GatewayState;

/// What the transports of one group share.
struct TransportContext {
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<WarmStart> warm;
  std::shared_ptr<FoundInterpreters> interpreters;
  std::shared_ptr<SshControl> ssh_control;
  /// In the environment of every agent process: by it they are found.
  std::string cookie;
  /// The member that `via=` names; null when there is none. Any thread.
  std::function<std::shared_ptr<GatewayState>(std::string_view id)> member;
};

/// Throws SpecError for what the spec cannot mean, StartError or SpawnError when not even the
/// beginning can be made.
[[nodiscard]] std::shared_ptr<Transport> open_transport(const TransportContext& context, const XSpec& spec,
                                                        const Bootstrap& bootstrap);

}  // namespace gangway::detail
