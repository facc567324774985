// What PyMethodDef wants to have. Any thread.
#pragma once

#include "python/common/py_ref.hpp"

namespace gangway::python {

[[nodiscard]] inline PyCFunction with_keywords(PyCFunctionWithKeywords method) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method));
}
[[nodiscard]] inline PyCFunction fast(PyObject* (*method)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method));
}

}  // namespace gangway::python
