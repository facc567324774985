// Python objects that are no longer needed where the GIL cannot be taken: on the thread that
// leads the I/O, or with a connection's mutex held.
#pragma once

#include "python/common/py_ref.hpp"

namespace gangway::python {

/// Gives up a reference; any thread, GIL or not. Null: nothing.
void release_later(PyObject* object) noexcept;
/// Releases what was given up. With the GIL.
void release_now();

}  // namespace gangway::python
