#include "python/bindings/gateway_side.hpp"

#include <unistd.h>

#include "python/bindings/interruptible.hpp"
#include "python/common/channel_object.hpp"
#include "python/common/exceptions.hpp"
#include "python/common/release.hpp"

namespace gangway::python {

// The last to hold it may be the callback thread.
GatewaySide::~GatewaySide() {
  release_later(owner_.release());
  release_later(channel_class_.release());
}

std::unique_ptr<Blocking> GatewaySide::blocking() { return std::make_unique<SignalBlocking>(*connection_->runtime()); }

// There is nothing below a callback that a child could return to.
void GatewaySide::leave_child(PyObject* text) {
  if (text != Py_None) PySys_FormatStderr("%S\n", text);
  ::_exit(text == Py_None ? 0 : 1);
}

PyRef GatewaySide::gateway() { return owner_ ? PyRef::share(PyWeakref_GetObject(owner_.get())) : PyRef(); }

PyTypeObject& GatewaySide::channel_class() {
  return channel_class_ ? *reinterpret_cast<PyTypeObject*>(channel_class_.get()) : channel_type();
}

std::string GatewaySide::error_text(PyObject* exception) {
  if (PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt) != 0) return "keyboard-interrupted";
  const PyRef traceback = PyRef::check(PyImport_ImportModule("traceback"));
  const PyRef lines = PyRef::check(PyObject_CallMethod(traceback.get(), "format_exception", "O", exception));
  const PyRef nothing = PyRef::check(PyUnicode_FromString(""));
  return text_of(PyRef::check(PyUnicode_Join(nothing.get(), lines.get())).get());
}

PyRef GatewaySide::array_maker() {
  const PyRef arrays = PyRef::check(PyImport_ImportModule("gangway.arrays"));
  return PyRef::check(PyObject_GetAttrString(arrays.get(), "make_array"));
}

void GatewaySide::set_owner(PyObject* owner) { PyRef::check(PyWeakref_NewRef(owner, nullptr)).swap(owner_); }

void GatewaySide::set_channel_class(PyObject* type) {
  if (PyType_Check(type) == 0 || PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), &channel_type()) == 0)
    throw_format(PyExc_TypeError, "%R is no subclass of Channel", type);
  PyRef::share(type).swap(channel_class_);
}

}  // namespace gangway::python
