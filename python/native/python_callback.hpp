// A Python function that gets a channel's items: Channel.setcallback.
// Thread rule: the GIL is held.
#pragma once

#include <chrono>

#include "python/native/agent.hpp"
#include "python/native/py_ref.hpp"

namespace gangway::python {

/// `endmarker` may be null: none. What is queued is handed over before this returns; a
/// Python exception of the function's is thrown as PythonError then. Throws Error (has_callback).
void set_python_callback(const ChannelPtr& channel, PyObject* user_function, PyObject* endmarker);

/// Once the connection has ended: until all callbacks have been told so, but not longer than `limit`.
void join_callbacks(std::chrono::milliseconds limit);

}  // namespace gangway::python
