#include "python/bindings/handoff.hpp"

#include <atomic>
#include <chrono>

#include "python/common/gil.hpp"

namespace gangway::python {

namespace {

std::atomic<bool> ended{false};

// How often a wait looks whether the interpreter ends.
constexpr std::chrono::milliseconds slice{100};

}  // namespace

bool Handoff::wait() {
  const auto shared = shared_;
  const WithoutGil released;
  std::unique_lock lock(shared->mutex);
  while (!shared->released && !ended) (void)shared->changed.wait_for(lock, slice);
  return shared->released;
}

void Handoff::release() {
  const std::lock_guard lock(shared_->mutex);
  shared_->released = true;
  shared_->changed.notify_one();
}

void Handoff::end_all() noexcept { ended = true; }

}  // namespace gangway::python
