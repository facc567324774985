// Where Python's signal handler writes the numbers of signals: signal.set_wakeup_fd, without
// its two system calls where the C function can be had. libpython's shared library does not
// export it, the static one does.
#pragma once

#include "python/common/py_ref.hpp"

extern "C" [[gnu::weak]] int PySignal_SetWakeupFd(int fd);

namespace gangway::python {

/// The previous one, -1 for none. Main thread, with the GIL. A Python exception that is set
/// stays; what goes wrong is ignored: waits are then not interrupted.
inline int set_wakeup_fd(int fd) noexcept {
  if (PySignal_SetWakeupFd != nullptr) return PySignal_SetWakeupFd(fd);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  int before = -1;
  {
    const PyRef module = PyRef::steal(PyImport_ImportModule("_signal"));
    const PyRef result = module ? PyRef::steal(PyObject_CallMethod(module.get(), "set_wakeup_fd", "i", fd)) : PyRef();
    if (result) before = static_cast<int>(PyLong_AsLong(result.get()));
  }
  PyErr_Restore(type, value, traceback);
  return before;
}

}  // namespace gangway::python
