// Ends a wait of the main thread when a signal has come for which Python has a handler.
//
// Python's own C handler writes a byte to a descriptor, if it was told one (signal.set_wakeup_fd).
// That is ours while the main thread waits, and whoever leads the I/O watches the other end.
// Thread rule: the main thread, with the GIL.
#pragma once

#include <memory>

#include "core/runtime.hpp"

namespace gangway::python {

class SignalWakeup {
 public:
  /// While it lives, a signal notifies the waiter.
  SignalWakeup(detail::Runtime& runtime, detail::Waiter& waiter);
  SignalWakeup(const SignalWakeup&) = delete;
  SignalWakeup& operator=(const SignalWakeup&) = delete;
  ~SignalWakeup();

  /// False: the program has told Python a descriptor of its own, as asyncio does, which stays; the
  /// waiter is not notified.
  [[nodiscard]] explicit operator bool() const noexcept { return watch_ != nullptr; }

 private:
  class Watch;
  [[nodiscard]] static std::shared_ptr<Watch> watch_on(detail::Runtime& runtime);

  std::shared_ptr<Watch> watch_;
};

}  // namespace gangway::python
