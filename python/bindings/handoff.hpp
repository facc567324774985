// Handoff: a thread of ours waits until another one has done something for it: a callback that
// runs in a green thread, on the thread of its hub.
// Thread rule: with the GIL, which wait() releases.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

namespace gangway::python {

class Handoff {
 public:
  /// Until release(); false: the interpreter ends, and nobody will do it any more.
  [[nodiscard]] bool wait();
  void release();
  /// At the end of the interpreter: all waits are over within 100 ms.
  static void end_all() noexcept;

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool released = false;
  };
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace gangway::python
