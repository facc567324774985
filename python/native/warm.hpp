// The warm server: starts Python once and forks agents that are as if freshly started
// (gateways/warm_start.hpp is the controller's side of it).
#pragma once

#include "python/native/interpreter.hpp"

namespace gangway::python {

/// Whether this process was started to be one: descriptor 0 is a socket of packets.
[[nodiscard]] bool is_warm_server() noexcept;

/// Returns in forked agents only, each time in a new process: the worker, below its keeper,
/// with its own descriptors 0 to 2, Python started, and the GIL held. Throws Error.
void serve_forks(const InterpreterOptions& options);

}  // namespace gangway::python
