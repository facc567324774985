#include "python/bindings/operation.hpp"

#include <new>
#include <utility>

#include "python/common/exceptions.hpp"
#include "python/common/release.hpp"

namespace gangway::python {

PyRef OperationObject::make(std::shared_ptr<Operation> operation, PyObject* subject) {
  PyTypeObject& type = operation_type();
  PyRef object = PyRef::check(type.tp_alloc(&type, 0));
  OperationObject& self = of(object.get());
  self.subject = PyRef::share(subject).release();
  new (&self.operation) std::shared_ptr<Operation>(std::move(operation));
  return object;
}

void OperationObject::start(PyObject* self, std::shared_ptr<Port> port, PyObject* function) {
  if (std::exchange(started, true)) {
    PyErr_SetString(PyExc_RuntimeError, "the operation was started before");
    throw PythonError();
  }
  release_now();
  done = PyRef::share(function).release();
  operation->port_ = std::move(port);
  operation->port_->expect(*operation, self);
  try {
    operation->start();
  } catch (...) {
    finished = true;
    operation->port_->forget(*operation);
    throw;
  }
}

void OperationObject::cancel() noexcept {
  if (!started || std::exchange(finished, true)) return;
  operation->port_->forget(*operation);
  Py_CLEAR(done);
  operation->cancel();
}

PyRef OperationObject::result() {
  if (!started || finished || done != nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the operation has no result");
    throw PythonError();
  }
  finished = true;
  return operation->result(subject);
}

namespace {

PyObject* start(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  return translated([&]() -> PyObject* {
    if (count != 2 || Py_TYPE(args[0]) != &port_type()) {
      PyErr_SetString(PyExc_TypeError, "start() takes a Port and a function");
      throw PythonError();
    }
    OperationObject::of(object).start(object, PortObject::of(args[0]).port, args[1]);
    Py_RETURN_NONE;
  });
}

PyObject* cancel(PyObject* object, PyObject*) {
  const PyRef alive = PyRef::share(object);  // the port may have held the last reference
  OperationObject::of(object).cancel();
  Py_RETURN_NONE;
}

PyObject* result(PyObject* object, PyObject*) {
  return translated([&] { return OperationObject::of(object).result().release(); });
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(OperationObject::of(object).subject);
  Py_VISIT(OperationObject::of(object).done);
  return 0;
}

int clear(PyObject* object) {
  OperationObject::of(object).cancel();  // while the subject is there
  Py_CLEAR(OperationObject::of(object).subject);
  return 0;
}

void deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  OperationObject& self = OperationObject::of(object);
  self.cancel();
  Py_CLEAR(self.done);
  self.operation.~shared_ptr();
  Py_CLEAR(self.subject);
  PyErr_Restore(type, value, traceback);
  Py_TYPE(object)->tp_free(object);
}

PyMethodDef methods[] = {
    {"start", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(start)), METH_FASTCALL,
     "start(port, function): function() is called by port.run() when the operation is over. Once."},
    {"cancel", cancel, METH_NOARGS, "Nobody waits any more. Nothing is lost by it: what has arrived stays."},
    {"result", result, METH_NOARGS, "What came of it, or raises what went wrong. Once, when it is over."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject make_type() {
  PyTypeObject type{};
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);  // never freed
  type.tp_name = "gangway._gangway.Operation";
  type.tp_doc = "Something that takes time, for an event loop.";
  type.tp_basicsize = sizeof(OperationObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  type.tp_dealloc = deallocate;
  type.tp_traverse = traverse;
  type.tp_clear = clear;
  type.tp_methods = methods;
  return type;
}

}  // namespace

PyTypeObject& operation_type() {
  static PyTypeObject type = make_type();
  check_status(PyType_Ready(&type));
  return type;
}

}  // namespace gangway::python
