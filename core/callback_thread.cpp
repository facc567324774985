#include "core/callback_thread.hpp"

#include <cxxabi.h>

#include <exception>
#include <thread>
#include <utility>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

thread_local const CallbackThread* current = nullptr;

// User code. False when it threw.
template <class Run>
bool guarded(Run run) {
  try {
    run();
    return true;
  } catch (abi::__forced_unwind&) {  // the thread is being ended; swallowing that ends the program
    throw;
  } catch (const std::exception& problem) {
    trace::log("a handler failed: ", problem.what());
  } catch (...) {
    trace::log("a handler failed: it threw something that is no std::exception");
  }
  return false;
}

}  // namespace

std::shared_ptr<CallbackThread> CallbackThread::start() {
  // The thread keeps the object alive, the handles keep the thread going.
  std::shared_ptr<CallbackThread> object(new CallbackThread);
  CallbackThread* const plain = object.get();
  std::thread thread([object] { object->loop(); });
  // What is queued still runs; nobody waits for it: user code may take its time.
  thread.detach();
  return {plain, [object = std::move(object)](CallbackThread*) { object->release(); }};
}

bool CallbackThread::is_this_thread() const noexcept { return current == this; }

// Stopping the io_context is how the thread is told without taking memory: it looks for
// jobs, and goes on.
void CallbackThread::post(std::shared_ptr<Job> job) noexcept {
  const std::lock_guard lock(mutex_);
  Job* const plain = job.get();
  (last_ == nullptr ? first_ : last_->next_) = std::move(job);
  last_ = plain;
  io_.stop();
}

void CallbackThread::release() {
  const std::lock_guard lock(mutex_);
  released_ = true;
  work_.reset();
}

std::shared_ptr<CallbackThread::Job> CallbackThread::take_jobs(bool& released) {
  const std::lock_guard lock(mutex_);
  io_.restart();
  released = released_;
  last_ = nullptr;
  return std::exchange(first_, nullptr);
}

void CallbackThread::loop() {
  current = this;
  for (;;) {
    const bool went_well = guarded([this] { io_.run(); });
    bool released = false;
    std::shared_ptr<Job> job = take_jobs(released);
    if (!job && released && went_well) return;  // it ran out of work
    while (job) {
      auto next = std::move(job->next_);
      guarded([&] {
        Job* const plain = job.get();
        plain->run(std::move(job));
      });
      job = std::move(next);
    }
  }
}

}  // namespace gangway::detail
