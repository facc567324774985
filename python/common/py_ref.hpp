// An owned reference to a Python object, and the exception that stands for Python's own.
// Thread rule: the GIL is held.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <exception>
#include <utility>

namespace gangway::python {

/// A Python exception is set in this thread's state; what() is of no use.
struct PythonError : std::exception {};

class PyRef {
 public:
  PyRef() noexcept = default;
  PyRef(PyRef&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  PyRef& operator=(PyRef&& other) noexcept {
    PyRef(std::move(other)).swap(*this);
    return *this;
  }
  ~PyRef() { Py_XDECREF(object_); }

  /// Takes over a new reference; may be null.
  [[nodiscard]] static PyRef steal(PyObject* object) noexcept { return PyRef(object); }
  /// The same for a result that is null when a Python exception is set: throws PythonError.
  static PyRef check(PyObject* object) {
    if (object == nullptr) throw PythonError();
    return PyRef(object);
  }
  [[nodiscard]] static PyRef share(PyObject* object) noexcept {
    Py_XINCREF(object);
    return PyRef(object);
  }

  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }
  [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }
  void swap(PyRef& other) noexcept { std::swap(object_, other.object_); }

 private:
  explicit PyRef(PyObject* object) noexcept : object_(object) {}

  PyObject* object_ = nullptr;
};

/// For calls that give -1 when a Python exception is set.
inline void check_status(int status) {
  if (status < 0) throw PythonError();
}

}  // namespace gangway::python
