#include "python/native/blocking.hpp"

#include <unistd.h>

#include "python/native/wakeup_fd.hpp"

namespace gangway::python {

Blocking::Blocking(Agent& agent) : agent_(agent), main_(agent.is_main_thread()), wait_(agent) {
  if (main_) user_fd_ = set_wakeup_fd(agent_.signal_fd());
}

Blocking::~Blocking() {
  if (!main_) return;
  set_wakeup_fd(user_fd_);
  if (user_fd_ < 0 || user_fd_ == agent_.signal_fd()) return;
  const std::string signals = agent_.take_signals();
  if (!signals.empty()) (void)!::write(user_fd_, signals.data(), signals.size());
}

void Blocking::check() {
  wait_.waiter.rearm();
  if (wait_.take_interrupt()) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw PythonError();
  }
  if (main_) check_status(PyErr_CheckSignals());
}

detail::Deadline deadline_of(PyObject* timeout) {
  if (timeout == nullptr || timeout == Py_None) return {};
  const double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) throw PythonError();
  if (seconds < 0) {
    PyErr_SetString(PyExc_ValueError, "negative timeout");
    throw PythonError();
  }
  if (!(seconds < 1e9)) return {};  // 30 years; also what is not a number
  return detail::deadline_after(std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

}  // namespace gangway::python
