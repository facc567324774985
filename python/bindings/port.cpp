#include "python/bindings/port.hpp"

#include <structmember.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <new>
#include <utility>

#include "python/bindings/operation.hpp"
#include "python/common/exceptions.hpp"

namespace gangway::python {

std::shared_ptr<Port> Port::make() {
  const int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    throw PythonError();
  }
  return std::shared_ptr<Port>(new Port(descriptor));
}

Port::~Port() { ::close(descriptor_); }

void Port::signal() const noexcept {
  const std::uint64_t one = 1;
  (void)!::write(descriptor_, &one, sizeof one);
}

void Port::post(std::shared_ptr<Operation> operation) noexcept {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  Operation* const added = operation.get();
  if (last_ == nullptr) {
    first_ = std::move(operation);
    signal();
  } else {
    last_->next_ = std::move(operation);
  }
  last_ = added;
}

std::shared_ptr<Operation> Port::pop() noexcept {
  const std::lock_guard lock(mutex_);
  auto operation = std::move(first_);
  if (operation) first_ = std::move(operation->next_);
  if (!first_) last_ = nullptr;
  return operation;
}

// In a forked child the descriptor is the parent's as well, and what it says is for the parent.
bool Port::run() {
  if (in_child()) return true;
  std::uint64_t count = 0;
  (void)!::read(descriptor_, &count, sizeof count);
  while (const auto operation = pop()) {
    const auto found = expected_.find(operation.get());
    if (found == expected_.end()) continue;  // cancelled
    const PyRef object = std::move(found->second);
    expected_.erase(found);
    const PyRef done = PyRef::steal(std::exchange(OperationObject::of(object.get()).done, nullptr));
    if (PyRef::steal(PyObject_CallNoArgs(done.get()))) continue;
    signal();
    return false;
  }
  return true;
}

void Port::expect(Operation& operation, PyObject* object) { expected_.emplace(&operation, PyRef::share(object)); }

void Port::forget(Operation& operation) {
  const auto found = expected_.find(&operation);
  if (found == expected_.end()) return;
  const PyRef object = std::move(found->second);
  expected_.erase(found);
}

void Port::close() noexcept {
  if (in_child()) {  // the mutex may be held by a thread that is not there
    expected_.clear();
    return;
  }
  std::shared_ptr<Operation> due;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    due = std::move(first_);
    last_ = nullptr;
  }
  while (due) due = std::exchange(due->next_, nullptr);
  const auto expected = std::exchange(expected_, {});
}

int Port::traverse(visitproc visit, void* arg) {
  for (const auto& [operation, object] : expected_) Py_VISIT(object.get());
  return 0;
}

namespace {

PyObject* make_port(PyTypeObject* type, PyObject* args, PyObject* names) {
  return translated([&] {
    if (PyTuple_GET_SIZE(args) != 0 || (names != nullptr && PyDict_GET_SIZE(names) != 0)) {
      PyErr_SetString(PyExc_TypeError, "Port() takes no arguments");
      throw PythonError();
    }
    auto port = Port::make();
    PyRef object = PyRef::check(type->tp_alloc(type, 0));
    new (&PortObject::of(object.get()).port) std::shared_ptr<Port>(std::move(port));
    return object.release();
  });
}

int traverse(PyObject* object, visitproc visit, void* arg) { return PortObject::of(object).port->traverse(visit, arg); }

int clear(PyObject* object) {
  PortObject::of(object).port->close();
  return 0;
}

void deallocate(PyObject* object) {
  PyObject_GC_UnTrack(object);
  PortObject& self = PortObject::of(object);
  if (self.weak_references != nullptr) PyObject_ClearWeakRefs(object);
  self.port->close();
  self.port.~shared_ptr();
  Py_TYPE(object)->tp_free(object);
}

PyObject* fileno(PyObject* object, PyObject*) { return PyLong_FromLong(PortObject::of(object).port->descriptor()); }

PyObject* run(PyObject* object, PyObject*) {
  return translated([&]() -> PyObject* {
    const auto port = PortObject::of(object).port;
    if (!port->run()) throw PythonError();
    Py_RETURN_NONE;
  });
}

PyObject* on_thread(PyObject* object, PyObject*) { return PyBool_FromLong(PortObject::of(object).port->on_thread()); }

// Over as soon as it is started.
class Notice final : public Operation {
 public:
  void start() override { over(); }
  void cancel() noexcept override {}
  PyRef result(PyObject*) override { return PyRef::share(Py_None); }
};

PyObject* call_soon(PyObject* object, PyObject* function) {
  return translated([&]() -> PyObject* {
    const PyRef notice = OperationObject::make(std::make_shared<Notice>(), Py_None);
    OperationObject::of(notice.get()).start(notice.get(), PortObject::of(object).port, function);
    Py_RETURN_NONE;
  });
}

PyMethodDef methods[] = {
    {"fileno", fileno, METH_NOARGS, "The descriptor that is readable while run() has something to do."},
    {"run", run, METH_NOARGS, "Calls the functions of operations that are over. On the thread of the loop."},
    {"call_soon", call_soon, METH_O, "Has run() call the function. Any thread."},
    {"on_thread", on_thread, METH_NOARGS, "Whether this is the thread on which the port was made."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject make_type() {
  PyTypeObject type{};
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);  // never freed
  type.tp_name = "gangway._gangway.Port";
  type.tp_doc = "Where an event loop is told that operations are over.";
  type.tp_basicsize = sizeof(PortObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC;
  type.tp_new = make_port;
  type.tp_dealloc = deallocate;
  type.tp_traverse = traverse;
  type.tp_clear = clear;
  type.tp_methods = methods;
  type.tp_weaklistoffset = offsetof(PortObject, weak_references);
  return type;
}

}  // namespace

PyTypeObject& port_type() {
  static PyTypeObject type = make_type();
  check_status(PyType_Ready(&type));
  return type;
}

}  // namespace gangway::python
