// The addresses of a host: the one thing here that only a blocking call can do. It has a thread
// for each name, which nobody waits for: a name service that does not answer holds up nobody's end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/runtime.hpp"
#include "gateways/socket_address.hpp"

namespace gangway::detail {

struct FoundAddresses {
  std::vector<SocketAddress> addresses;
  std::string problem;  // in the resolver's words, when there are none
};

/// Calls `done` on the leading thread; never, once the runtime is gone. Addresses in digits need
/// neither a thread nor a name service.
void look_up(const std::shared_ptr<Runtime>& runtime, const HostPort& where, std::function<void(FoundAddresses)> done);

}  // namespace gangway::detail
