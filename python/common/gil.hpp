// Releases the GIL for a scope. Thread rule: a thread that runs Python code; nothing inside
// the scope may touch a Python object.
#pragma once

#include <cxxabi.h>
#include <unistd.h>

#include "python/common/py_ref.hpp"

namespace gangway::python {

/// An interpreter that ends, ends the threads that come back to it with pthread_exit, which
/// unwinds: destructors would release Python objects without the GIL, and noexcept functions
/// abort. Such a thread stays here instead, until the process is gone.
[[noreturn]] inline void wait_for_the_end() noexcept {
  for (;;) ::pause();
}

class WithoutGil {
 public:
  WithoutGil() noexcept : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      wait_for_the_end();
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace gangway::python
