// A Python function that gets a channel's items: Channel.setcallback.
// Thread rule: the GIL is held.
#pragma once

#include <chrono>
#include <initializer_list>
#include <memory>

#include "python/common/side.hpp"

namespace gangway::python {

/// `endmarker` may be null: none. What is queued is handed over before this returns; a
/// Python exception of the function's is thrown as PythonError then. Throws Error (has_callback).
void set_python_callback(const std::shared_ptr<Side>& side, const ChannelPtr& channel, PyObject* user_function,
                         PyObject* endmarker);

/// Once the connections have ended: until all callbacks have been told so, but not longer than `limit`.
void join_callbacks(std::chrono::milliseconds limit);

/// The interpreter is about to end: no callback begins any more. Waits for those under way, but
/// not longer than `limit`.
void end_callbacks(std::chrono::milliseconds limit);

/// Of a thread that is not Python's: takes the GIL, unless the interpreter is about to end (false).
class CallbackGil {
 public:
  /// `side` is told of a thread that has not been here before.
  explicit CallbackGil(Side* side = nullptr);
  CallbackGil(const CallbackGil&) = delete;
  CallbackGil& operator=(const CallbackGil&) = delete;
  ~CallbackGil();
  [[nodiscard]] explicit operator bool() const noexcept { return taken_; }

 private:
  bool taken_ = false;
  PyGILState_STATE state_{};
};

/// Calls a Python function on such a thread. Throws PythonError.
void call_back(PyObject* function, std::initializer_list<PyObject*> arguments);

}  // namespace gangway::python
