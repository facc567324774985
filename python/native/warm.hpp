// The warm server: starts Python once and forks agents that are as if freshly started
// (gateways/warm_start.hpp is the controller's side of it).
#pragma once

#include <functional>
#include <string>

namespace gangway::python {

/// Whether this process was started to be one: descriptor 0 is a socket of packets.
[[nodiscard]] bool is_warm_server() noexcept;

/// Returns in forked agents only, each time in a new process: the worker, below its keeper,
/// with its own descriptors 0 to 2, Python started, and the GIL held. `start_python` starts it in
/// the server, if it is not the one that runs us, and gives the reason when that fails. Throws Error.
void serve_forks(const std::function<std::string()>& start_python);

}  // namespace gangway::python
