// No cyclic garbage collection for a while.
// Thread rule: the GIL is held.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace gangway::python {

/// While plain objects are built, none of which is garbage: after every 700 containers the collector
/// would look at the new ones, and now and then at all, which takes a third of the time of an item
/// of 1 MB. Python 3.9 has no such switch, and goes on collecting.
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
