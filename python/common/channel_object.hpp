// Channel: one end of a channel, for Python. Thread rule: the GIL is held.
#pragma once

#include <memory>

#include "python/common/side.hpp"

namespace gangway::python {

struct ChannelObject {
  PyObject_HEAD PyObject* dict;
  PyObject* weak_references;
  PyObject* gateway;
  unsigned int id;
  std::shared_ptr<ChannelHandle> handle;
  std::shared_ptr<Side> side;

  [[nodiscard]] static ChannelObject& of(PyObject* object) noexcept {
    return *reinterpret_cast<ChannelObject*>(object);
  }
  /// A new one, which the side does not know yet.
  [[nodiscard]] static PyRef make(std::shared_ptr<Side> side, std::shared_ptr<ChannelHandle> handle);

  [[nodiscard]] Connection& connection() const noexcept { return *handle->connection; }
  [[nodiscard]] const ChannelPtr& state() const noexcept { return handle->state; }
  /// The side looks for it no longer.
  void forget() noexcept;
};

[[nodiscard]] PyTypeObject& channel_type() noexcept;
/// Completes the type under this name, with methods and attributes of the program's own; to be
/// called once, when the error classes are known.
void prepare_channel_type(const char* name, PyMethodDef* methods, PyGetSetDef* attributes);

/// Adds methods to a type that is complete. Throws PythonError.
void add_methods(PyTypeObject& type, PyMethodDef* methods);

/// An error of a channel that ended when no object of it was left is said on stderr.
void warn_of_unseen_error(Side& side, const ChannelPtr& channel);

}  // namespace gangway::python
