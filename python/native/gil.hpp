// Releases the GIL for a scope. Thread rule: a thread that runs Python code; nothing inside
// the scope may touch a Python object.
#pragma once

#include "python/native/py_ref.hpp"

namespace gangway::python {

class WithoutGil {
 public:
  WithoutGil() noexcept : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() { PyEval_RestoreThread(state_); }

 private:
  PyThreadState* state_;
};

}  // namespace gangway::python
