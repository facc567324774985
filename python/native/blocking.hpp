// A wait of a thread that runs Python code: signals and interrupts end it.
//
// While the main thread waits, signal.set_wakeup_fd leads to us. Only the main thread may
// call it, so nobody can notice; what user code has set there (asyncio) is put back, and is
// told of the signals that came meanwhile.
// Thread rule: construct and destroy with the GIL held.
#pragma once

#include <chrono>

#include "core/runtime.hpp"
#include "python/native/agent.hpp"
#include "python/native/gil.hpp"

namespace gangway::python {

class Blocking {
 public:
  explicit Blocking(Agent& agent);
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;
  ~Blocking();

  [[nodiscard]] detail::Waiter& waiter() noexcept { return wait_.waiter; }
  [[nodiscard]] Agent::Wait& wait() noexcept { return wait_; }
  /// Makes ready for the next wait, and runs the handlers of signals that came. Throws
  /// PythonError when one of them, or an interrupt, has raised something.
  void check();

 private:
  Agent& agent_;
  const bool main_;
  int user_fd_ = -1;
  Agent::Wait wait_;
};

/// What `timeout` (None, or seconds) means from now on. Throws PythonError.
[[nodiscard]] detail::Deadline deadline_of(PyObject* timeout);

}  // namespace gangway::python
