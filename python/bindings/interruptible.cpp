#include "python/bindings/interruptible.hpp"

#include <unistd.h>

#include <algorithm>

namespace gangway::python {

namespace {

detail::Deadline slice_of(detail::Deadline deadline) {
  const auto slice = detail::Clock::now() + signal_slice;
  return deadline ? std::min(*deadline, slice) : slice;
}

}  // namespace

// Of the process, which is the one of the interpreter as well, in a forked child too.
bool is_main_thread() noexcept { return ::getpid() == ::gettid(); }

void SignalBlocking::check() {
  waiter_.rearm();
  if (main_) check_status(PyErr_CheckSignals());
}

detail::Deadline SignalBlocking::slice(detail::Deadline deadline) const {
  return main_ ? slice_of(deadline) : deadline;
}

detail::Deadline next_slice(detail::Deadline deadline) {
  if (!is_main_thread()) return deadline;
  check_status(PyErr_CheckSignals());
  return slice_of(deadline);
}

}  // namespace gangway::python
