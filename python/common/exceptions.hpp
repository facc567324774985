// C++ exceptions as Python's, and the reverse. Thread rule: the GIL is held.
#pragma once

#include <string>

#include <gangway/error.hpp>

#include "python/common/py_ref.hpp"

namespace gangway::python {

/// The classes that Python code gives by name; owned, and set before anything is raised.
struct ErrorClasses {
  PyObject* remote_error = nullptr;
  PyObject* timeout_error = nullptr;
  PyObject* dump_error = nullptr;
  PyObject* load_error = nullptr;
  PyObject* host_not_found = nullptr;
};
[[nodiscard]] ErrorClasses& error_classes() noexcept;

/// Makes a Python exception of the C++ exception that is being handled.
void translate_exception() noexcept;

/// Runs what may throw C++ exceptions for a function that gives nullptr with a Python one.
template <class Body>
PyObject* translated(Body body) noexcept {
  try {
    return body();
  } catch (...) {
    translate_exception();
    return nullptr;
  }
}

/// An exception of `type` whose text names an object: `format` has one %R.
[[noreturn]] void throw_format(PyObject* type, const char* format, PyObject* object);

/// The instance of RemoteError for this text.
[[nodiscard]] PyRef remote_error(const std::string& formatted);

/// The Python exception that is set, which is set no longer then; with its traceback.
[[nodiscard]] PyRef take_exception();

/// UTF-8 of str(object), whatever is in it.
[[nodiscard]] std::string text_of(PyObject* object);

}  // namespace gangway::python
