#include "python/native/gil_probe.hpp"

#include <signal.h>

#include <thread>
#include <utility>

#include "python/common/py_ref.hpp"

namespace gangway::python {

void GilProbe::interpreter_runs() {
  const std::lock_guard lock(mutex_);
  interpreter_runs_ = true;
  wake_.notify_one();
}

bool GilProbe::interpreter_is_up() {
  const std::lock_guard lock(mutex_);
  return interpreter_runs_;
}

void GilProbe::ask(Work work) {
  const std::lock_guard lock(mutex_);
  works_.push_back(std::move(work));
  if (!since_) since_ = detail::Clock::now();
  if (std::exchange(started_, true)) {
    wake_.notify_one();
    return;
  }
  // Signals are for the main thread, whose calls they are to interrupt.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  std::thread([this] { run(); }).detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::optional<detail::Clock::time_point> GilProbe::asking_since() {
  const std::lock_guard lock(mutex_);
  return since_;
}

void GilProbe::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return interpreter_runs_ && !works_.empty(); });
    }
    const PyGILState_STATE state = PyGILState_Ensure();
    std::vector<Work> works;
    {
      const std::lock_guard lock(mutex_);
      works.swap(works_);
      since_.reset();
    }
    for (const Work& work : works) work();
    PyGILState_Release(state);
  }
}

}  // namespace gangway::python
