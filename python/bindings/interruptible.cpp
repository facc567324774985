#include "python/bindings/interruptible.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace gangway::python {

namespace {

detail::Deadline slice_of(detail::Deadline deadline, std::chrono::milliseconds length) {
  const auto slice = detail::Clock::now() + length;
  return deadline ? std::min(*deadline, slice) : slice;
}

}  // namespace

// Of the process, which is the one of the interpreter as well, in a forked child too.
bool is_main_thread() noexcept { return ::getpid() == ::gettid(); }

void SignalBlocking::check() {
  waiter_.rearm();
  if (!main_) return;
  check_status(PyErr_CheckSignals());
  if (!std::exchange(has_waited_, true)) return;
  wakeup_.emplace(runtime_, waiter_);  // again: a handler may have told Python another descriptor
  check_status(PyErr_CheckSignals());  // what came before; what comes from now on notifies the waiter
}

detail::Deadline SignalBlocking::slice(detail::Deadline deadline) const {
  if (!main_ || (wakeup_ && *wakeup_)) return deadline;
  return slice_of(deadline, wakeup_ ? signal_slice : first_slice);
}

detail::Deadline next_slice(detail::Deadline deadline) {
  if (!is_main_thread()) return deadline;
  check_status(PyErr_CheckSignals());
  return slice_of(deadline, signal_slice);
}

}  // namespace gangway::python
