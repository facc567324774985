// No cyclic garbage collection for a while.
// Thread rule: the GIL is held.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace gangway::python {

/// While plain objects are built, none of which is garbage. Up to Python 3.11 the collector would look
/// at the new ones after every 700 containers, and now and then at all, which takes a third of the time
/// of an item of 1 MB; later it does so between two instructions of Python code only. 3.9 has no such
/// switch in C, and goes on collecting. A gc.disable() by another thread in between (where an import of
/// numpy gives the GIL up) is undone.
class GcPause {
 public:
#if PY_VERSION_HEX >= 0x030a0000
  GcPause() noexcept : was_enabled_(PyGC_Disable() != 0) {}
  ~GcPause() {
    if (was_enabled_) PyGC_Enable();
  }
#else
  GcPause() noexcept {}
#endif
  GcPause(const GcPause&) = delete;
  GcPause& operator=(const GcPause&) = delete;

 private:
  [[maybe_unused]] const bool was_enabled_ = false;
};

}  // namespace gangway::python
