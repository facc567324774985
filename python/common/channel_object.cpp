#include "python/common/channel_object.hpp"

#include <structmember.h>

#include <new>
#include <utility>

#include "core/fork_guard.hpp"
#include "python/common/channel_methods.hpp"
#include "python/common/exceptions.hpp"

namespace gangway::python {

namespace {

PyObject* repr(PyObject* object) {
  const ChannelObject& self = ChannelObject::of(object);
  const bool closed = !self.side->in_child() && self.connection().is_closed(*self.state());
  return PyUnicode_FromFormat("<Channel id=%u %s>", self.id, closed ? "closed" : "open");
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(ChannelObject::of(object).dict);
  Py_VISIT(ChannelObject::of(object).gateway);
  return 0;
}

int clear(PyObject* object) {
  Py_CLEAR(ChannelObject::of(object).dict);
  Py_CLEAR(ChannelObject::of(object).gateway);
  return 0;
}

// An error that nobody has fetched is said on stderr.
void warn_of_error(Connection& connection, const ChannelPtr& channel) {
  if (_Py_IsFinalizing() != 0) return;
  try {
    (void)connection.try_wait_end(*channel);
  } catch (const RemoteError& error) {
    try {
      PyRef::check(PyObject_CallMethod(remote_error(error.formatted()).get(), "warn", nullptr));
    } catch (const PythonError&) {
      PyErr_Clear();
    }
  } catch (const std::exception&) {
  }
}

void deallocate(PyObject* object) {
  ChannelObject& self = ChannelObject::of(object);
  PyObject_GC_UnTrack(object);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (self.weak_references != nullptr) PyObject_ClearWeakRefs(object);
  self.forget();
  clear(object);
  if (self.side->in_child()) {
    detail::abandon(self.handle);  // never closed: it is the parent's
    detail::abandon(self.side);
  } else if (self.handle.use_count() == 1) {  // not a task's own channel
    warn_of_error(self.connection(), self.state());
  }
  self.handle.~shared_ptr();
  self.side.~shared_ptr();
  PyErr_Restore(type, value, traceback);
  Py_TYPE(object)->tp_free(object);
}

PyMemberDef members[] = {
    {"id", T_UINT, offsetof(ChannelObject, id), READONLY, nullptr},
    {"gateway", T_OBJECT, offsetof(ChannelObject, gateway), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyTypeObject make_type() {
  PyTypeObject type{};
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);  // never freed
  type.tp_doc = "One end of a channel. Any method may be called from any thread.";
  type.tp_basicsize = sizeof(ChannelObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  type.tp_dealloc = deallocate;
  type.tp_traverse = traverse;
  type.tp_clear = clear;
  type.tp_repr = repr;
  type.tp_iter = PyObject_SelfIter;
  type.tp_iternext = channel_iter_next;
  type.tp_methods = channel_methods;
  type.tp_members = members;
  type.tp_getset = attributes;
  type.tp_dictoffset = offsetof(ChannelObject, dict);
  type.tp_weaklistoffset = offsetof(ChannelObject, weak_references);
  return type;
}

void add(PyTypeObject& type, const char* name, PyObject* descriptor) {
  check_status(PyDict_SetItemString(type.tp_dict, name, PyRef::check(descriptor).get()));
}

}  // namespace

PyRef ChannelObject::make(std::shared_ptr<Side> side, std::shared_ptr<ChannelHandle> handle) {
  PyRef gateway = side->gateway();
  PyTypeObject& type = side->channel_class();
  PyRef object = PyRef::check(type.tp_alloc(&type, 0));
  ChannelObject& self = of(object.get());
  self.id = handle->state->id;
  self.gateway = gateway.release();
  new (&self.handle) std::shared_ptr<ChannelHandle>(std::move(handle));
  new (&self.side) std::shared_ptr<Side>(std::move(side));
  return object;
}

void ChannelObject::forget() noexcept {
  const auto found = side->objects_.find(id);
  if (found != side->objects_.end() && found->second == this) side->objects_.erase(found);
}

PyTypeObject& channel_type() noexcept {
  static PyTypeObject type = make_type();
  return type;
}

void prepare_channel_type(const char* name, PyMethodDef* methods, PyGetSetDef* own_attributes) {
  PyTypeObject& type = channel_type();
  type.tp_name = name;
  check_status(PyType_Ready(&type));
  if (methods != nullptr) add_methods(type, methods);
  for (; own_attributes != nullptr && own_attributes->name != nullptr; ++own_attributes)
    add(type, own_attributes->name, PyDescr_NewGetSet(&type, own_attributes));
  PyType_Modified(&type);
}

void add_methods(PyTypeObject& type, PyMethodDef* methods) {
  for (; methods->ml_name != nullptr; ++methods) add(type, methods->ml_name, PyDescr_NewMethod(&type, methods));
  PyType_Modified(&type);
}

void warn_of_unseen_error(Side& side, const ChannelPtr& channel) {
  if (!side.has_object(channel->id)) warn_of_error(side.connection(), channel);
}

}  // namespace gangway::python
