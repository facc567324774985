// dumps, loads and load: the dump format (gangway/dump.hpp) for Python objects.
// Thread rule: the GIL is held.
#pragma once

#include "python/common/py_ref.hpp"

namespace gangway::python {

extern PyMethodDef dump_functions[];

}  // namespace gangway::python
