// What waits on a channel, as operations of event loops: no thread waits for them.
// Thread rule: the GIL is held.
#pragma once

#include "python/common/py_ref.hpp"

namespace gangway::python {

/// Methods of Channel.
extern PyMethodDef channel_operation_methods[];

/// What they give when there is no item: _gangway.NOTHING.
[[nodiscard]] PyObject* nothing();

}  // namespace gangway::python
