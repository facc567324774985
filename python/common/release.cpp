#include "python/common/release.hpp"

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

namespace gangway::python {

namespace {

// Never destroyed: threads may outlive main().
struct Released {
  std::mutex mutex;
  std::vector<PyObject*> objects;
  std::atomic<bool> any{false};
};
Released& released() {
  static auto* const shared = new Released;
  return *shared;
}

}  // namespace

void release_later(PyObject* object) noexcept {
  if (object == nullptr) return;
  const std::lock_guard lock(released().mutex);
  released().objects.push_back(object);
  released().any = true;
}

void release_now() {
  if (!released().any) return;
  std::vector<PyObject*> due;
  {
    const std::lock_guard lock(released().mutex);
    due.swap(released().objects);
    released().any = false;
  }
  for (PyObject* const object : due) Py_DECREF(object);
}

}  // namespace gangway::python
