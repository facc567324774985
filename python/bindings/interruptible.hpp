// Waits that Ctrl-C ends. Python runs the handlers of signals in the main thread, when that asks
// for it, so the main thread looks ten times a second; others just wait.
// Thread rule: the GIL is held, and released while waiting.
#pragma once

#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "python/common/gil.hpp"
#include "python/common/side.hpp"

namespace gangway::python {

/// A person notices 200 ms; a program that waits for an hour does not notice ten looks a second.
inline constexpr std::chrono::milliseconds signal_slice{100};

[[nodiscard]] bool is_main_thread() noexcept;

class SignalBlocking final : public Blocking {
 public:
  explicit SignalBlocking(detail::Runtime& runtime) : main_(is_main_thread()), waiter_(runtime) {}

  [[nodiscard]] detail::Waiter& waiter() noexcept override { return waiter_; }
  void check() override;
  [[nodiscard]] detail::Deadline slice(detail::Deadline deadline) const override;

 private:
  const bool main_;
  detail::Waiter waiter_;
};

/// The next slice of a wait until `deadline` that knows of no waiter; throws PythonError when a
/// signal's handler has raised something.
[[nodiscard]] detail::Deadline next_slice(detail::Deadline deadline);

/// Until `reached(deadline)`, which runs without the GIL, gives true; false: not in time.
template <class Reached>
bool wait_in_slices(detail::Deadline deadline, Reached reached) {
  for (;;) {
    const detail::Deadline slice = next_slice(deadline);
    {
      const WithoutGil released;
      if (reached(slice)) return true;
    }
    if (slice == deadline) return false;
  }
}

/// What cannot be cut into slices. In the main thread another one does it, and goes on by itself
/// when a signal ends the wait: `run` must own what it uses.
template <class Run>
auto run_interruptibly(Run run) -> decltype(run()) {
  if (!is_main_thread()) {
    const WithoutGil released;
    return run();
  }
  std::packaged_task<decltype(run())()> task(std::move(run));
  auto result = task.get_future();
  {
    const WithoutGil released;
    std::thread(std::move(task)).detach();
  }
  (void)wait_in_slices({},
                       [&](detail::Deadline slice) { return result.wait_until(*slice) == std::future_status::ready; });
  return result.get();
}

}  // namespace gangway::python
