// What waits on a channel, as operations of event loops: no thread waits for them.
// Thread rule: the GIL is held.
#pragma once

#include "python/common/object_walker.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

/// Methods of Channel.
extern PyMethodDef channel_operation_methods[];

/// Sends what was encoded if that needs no waiting: None; else an Operation of the channel's. Throws as
/// send_encoded.
[[nodiscard]] PyRef start_encoded(PyObject* channel, EncodedObject& encoded);

/// What they give when there is no item: _gangway.NOTHING.
[[nodiscard]] PyObject* nothing();

}  // namespace gangway::python
