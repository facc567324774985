#include "python/native/agent_side.hpp"

#include <sched.h>

#include "python/common/channel_methods.hpp"
#include "python/native/blocking.hpp"
#include "python/native/frozen.hpp"
#include "python/native/module.hpp"

namespace gangway::python {

namespace {

PyObject* makefile(PyObject* object, PyObject* args, PyObject* names) {
  return channel_call(object, [&](ChannelObject&) {
    static const char* keywords[] = {"mode", "proxyclose", nullptr};
    const PyRef write = PyRef::check(PyUnicode_FromString("w"));
    PyObject* mode = write.get();
    int proxyclose = 0;
    if (PyArg_ParseTupleAndKeywords(args, names, "|Op:makefile", const_cast<char**>(keywords), &mode, &proxyclose) == 0)
      throw PythonError();
    PyObject* const open_file = function("open_file", frozen_files);
    return PyRef::check(PyObject_CallFunction(open_file, "OOO", object, mode, proxyclose != 0 ? Py_True : Py_False))
        .release();
  });
}

// The interrupt of a task that has just ended must not hit the next one.
void drop_late_interrupt() {
  if (!module().agent->is_main_thread()) {
    (void)PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), nullptr);
    return;
  }
  ::sched_yield();  // a SIGINT that was sent to us is delivered by the end of any system call
  if (PyErr_CheckSignals() == 0) return;
  if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0)
    PyErr_Clear();
  else
    PyErr_WriteUnraisable(nullptr);  // of a handler of the user's
}

PyObject* finish(PyObject* object, PyObject* text) {
  if (module().agent->in_child()) leave_child(text);
  try {
    const Agent::Finished finished = module().agent->finish_task(ChannelObject::of(object).id);
    if (finished.interrupted) drop_late_interrupt();
    if (finished.was_task) close_channel(ChannelObject::of(object), text);
  } catch (...) {
    translate_exception();
    PyErr_Clear();
  }
  return none();
}

PyObject* get_executing(PyObject* object, void*) {
  return PyBool_FromLong(module().agent->is_executing(ChannelObject::of(object).id));
}

int set_executing(PyObject* object, PyObject* value, void*) {
  const int on = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (on < 0) return -1;
  if (!module().agent->set_executing(ChannelObject::of(object).id, on != 0)) return 0;
  PyErr_SetNone(PyExc_KeyboardInterrupt);  // it was interrupted before it began
  return -1;
}

PyMethodDef methods[] = {
    {"makefile", with_keywords(makefile), METH_VARARGS | METH_KEYWORDS,
     "A file that writes (\"w\") or reads (\"r\") this channel."},
    {"_finish", finish, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef attributes[] = {
    {"_executing", get_executing, set_executing, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace

std::unique_ptr<Blocking> AgentSide::blocking() { return std::make_unique<AgentBlocking>(*agent_); }
void AgentSide::leave_child(PyObject* text) { python::leave_child(text); }
PyRef AgentSide::gateway() { return PyRef::share(module().gateway); }
PyTypeObject& AgentSide::channel_class() { return channel_type(); }

// Before it is the callback thread that imports threading.
void AgentSide::prepare_callbacks() {
  PyRef::check(PyObject_CallFunction(function("ensure_threading"), "k", agent_->main_thread()));
}

PyRef AgentSide::array_maker() { return PyRef::share(function("make_array", frozen_arrays)); }

std::string AgentSide::error_text(PyObject* exception) {
  return text_of(PyRef::check(PyObject_CallOneArg(function("error_text"), exception)).get());
}

void prepare_agent_channels() {
  prepare_channel_type("_gangway.Channel", methods, attributes);
  PyTypeObject& type = channel_type();
  check_status(PyDict_SetItemString(type.tp_dict, "RemoteError", error_classes().remote_error));
  check_status(PyDict_SetItemString(type.tp_dict, "TimeoutError", error_classes().timeout_error));
  PyType_Modified(&type);
}

}  // namespace gangway::python
