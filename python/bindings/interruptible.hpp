// Waits that Ctrl-C ends. Python runs the handlers of signals in the main thread, when that asks
// for it, so a signal wakes the main thread; where that cannot be, it looks ten times a second.
// Others just wait.
// Thread rule: the GIL is held, and released while waiting.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "python/bindings/signal_wakeup.hpp"
#include "python/common/gil.hpp"
#include "python/common/side.hpp"

namespace gangway::python {

/// A person notices 200 ms; a program that waits for an hour does not notice ten looks a second.
inline constexpr std::chrono::milliseconds signal_slice{100};

/// What is over sooner need not prepare for signals, which takes a microsecond.
inline constexpr std::chrono::milliseconds first_slice{20};

[[nodiscard]] bool is_main_thread() noexcept;

class SignalBlocking final : public Blocking {
 public:
  explicit SignalBlocking(detail::Runtime& runtime) : main_(is_main_thread()), runtime_(runtime), waiter_(runtime) {}

  [[nodiscard]] detail::Waiter& waiter() noexcept override { return waiter_; }
  void check() override;
  [[nodiscard]] detail::Deadline slice(detail::Deadline deadline) const override;

 private:
  const bool main_;
  detail::Runtime& runtime_;
  detail::Waiter waiter_;
  bool has_waited_ = false;
  std::optional<SignalWakeup> wakeup_;  // when it takes longer
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

/// Tells the waiter of a thread that may have left.
class LastingWaiter {
 public:
  explicit LastingWaiter(detail::Waiter& waiter) : waiter_(&waiter) {}
  void notify() {
    const std::lock_guard lock(mutex_);
    if (waiter_ != nullptr) waiter_->notify();
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    waiter_ = nullptr;
  }

 private:
  std::mutex mutex_;
  detail::Waiter* waiter_;
};

/// What cannot be ended from outside. In the main thread another one does it, and goes on by itself
/// when a signal ends the wait: `run` must own what it uses.
template <class Run>
auto run_interruptibly(Run run) -> decltype(run()) {
  if (!is_main_thread()) {
    const WithoutGil released;
    return run();
  }
  const auto runtime = detail::Runtime::shared();
  SignalBlocking blocking(*runtime);
  const auto waiter = std::make_shared<LastingWaiter>(blocking.waiter());
  std::packaged_task<decltype(run())()> task(std::move(run));
  auto result = task.get_future();
  {
    const WithoutGil released;
    std::thread([task = std::move(task), waiter]() mutable {
      task();
      waiter->notify();
    }).detach();
  }
  try {
    for (;;) {
      blocking.check();
      if (result.wait_for(std::chrono::seconds(0)) == std::future_status::ready) break;
      const WithoutGil released;
      (void)runtime->wait(blocking.waiter(), blocking.slice({}));
    }
  } catch (const PythonError&) {
    waiter->forget();
    throw;
  }
  waiter->forget();
  return result.get();
}

}  // namespace gangway::python
