// A thread that takes the GIL when it is asked to: whether the interpreter answers, and
// what only somebody with the GIL can find out.
//
// Thread rule: any thread, with the GIL or without; nothing here waits for it.
// Lifetime: one per process, never destroyed: its thread may wait for the GIL for ever.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "core/runtime.hpp"

namespace gangway::python {

class GilProbe {
 public:
  using Work = std::function<void()>;  // called with the GIL; must not throw

  GilProbe() = default;
  GilProbe(const GilProbe&) = delete;
  GilProbe& operator=(const GilProbe&) = delete;

  /// From now on there is a GIL to be had. What was asked for before waits until then.
  void interpreter_runs();
  [[nodiscard]] bool interpreter_is_up();
  void ask(Work work);
  /// Since when it has been asking for the GIL; none: nothing was asked that it has not got.
  [[nodiscard]] std::optional<detail::Clock::time_point> asking_since();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Work> works_;
  std::optional<detail::Clock::time_point> since_;
  bool started_ = false;
  bool interpreter_runs_ = false;
};

}  // namespace gangway::python
