// The keeper: a small process between the controller and the worker, which ends the
// worker's process group when the controller is gone and the worker cannot end itself, and
// relays how the worker ended (spec-docs/termination.md). python/agent/keeper.py is the
// same for the portable agent.
#pragma once

namespace gangway::python {

/// Forks; returns in the worker only. Before any thread, and before Python.
void fork_keeper();

}  // namespace gangway::python
