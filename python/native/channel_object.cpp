#include "python/native/channel_object.hpp"

#include <sched.h>
#include <structmember.h>

#include <new>
#include <unordered_map>

#include "python/native/blocking.hpp"
#include "python/native/frozen.hpp"
#include "python/native/gil.hpp"
#include "python/native/module.hpp"
#include "python/native/object_builder.hpp"
#include "python/native/pending_send.hpp"
#include "python/native/python_callback.hpp"

namespace gangway::python {

namespace {

using detail::ChannelHandle;

struct ChannelObject {
  PyObject_HEAD PyObject* dict;
  PyObject* weak_references;
  unsigned int id;
  std::shared_ptr<ChannelHandle> handle;

  [[nodiscard]] const ChannelPtr& state() const noexcept { return handle->state; }
};

// The live ones, not owned.
std::unordered_map<std::uint32_t, ChannelObject*>& objects() {
  static auto* const map = new std::unordered_map<std::uint32_t, ChannelObject*>;
  return *map;
}

Connection& connection() { return module().agent->connection(); }

ChannelObject& self_of(PyObject* object) { return *reinterpret_cast<ChannelObject*>(object); }

class Channels final : public ObjectChannels {
 public:
  [[nodiscard]] bool is_channel(PyObject* object) const noexcept override { return Py_TYPE(object) == &channel_type(); }
  [[nodiscard]] std::uint32_t id_of(PyObject* channel) const override { return self_of(channel).id; }
  [[nodiscard]] PyRef channel(std::uint32_t id) override {
    return channel_object(std::static_pointer_cast<ChannelHandle>(connection().channel(id).object));
  }
};

// Runs what may throw C++ exceptions for a function that gives nullptr with a Python one.
template <class Body>
PyObject* guarded(Body body) noexcept {
  try {
    if (module().agent->in_child()) refuse_child();
    return body();
  } catch (...) {
    translate_exception();
    return nullptr;
  }
}

PyObject* none() {
  Py_INCREF(Py_None);
  return Py_None;
}

PyObject* repr(PyObject* object) {
  const ChannelObject& self = self_of(object);
  const char* state = "open";
  if (!module().agent->in_child() && connection().is_closed(*self.state())) state = "closed";
  return PyUnicode_FromFormat("<Channel id=%u %s>", self.id, state);
}

[[noreturn]] void throw_format(PyObject* type, const char* format, PyObject* channel) {
  PyErr_Format(type, format, channel);
  throw PythonError();
}

// --- sending

[[noreturn]] void cannot_send(PyObject* channel) {
  const auto lost = module().agent->lost();
  if (lost && !connection().is_closed(*self_of(channel).state()))
    PyErr_Format(PyExc_OSError, "cannot send to %R: %s", channel, lost->c_str());
  else
    PyErr_Format(PyExc_OSError, "cannot send to %R", channel);
  throw PythonError();
}

void send_waiting(PyObject* object, EncodedObject& encoded) {
  const ChannelObject& self = self_of(object);
  if (encoded.item().payload.size() > module().agent->hello().peer_max_item)
    throw DumpError(errc::item_too_large,
                    "can't serialize an item of " + std::to_string(encoded.item().payload.size()) +
                        " bytes: the peer accepts " + std::to_string(module().agent->hello().peer_max_item));
  const PyRef alive = PyRef::share(object);
  PendingSend send(*module().agent, self.state(), encoded);
  if (!send.wait()) cannot_send(object);
}

// Above this the copy and the write are done without the GIL.
constexpr std::size_t sent_with_gil = 32 * 1024;

PyObject* send(PyObject* object, PyObject* item) {
  return guarded([&] {
    EncodedObject encoded(object_channels());
    encoded.encode(item);
    bool sent = false;
    if (encoded.item().payload.size() <= sent_with_gil) {
      try {
        sent = connection().try_send(self_of(object).state(), encoded.item());
      } catch (const DumpError&) {  // too large: send_waiting says it in our words
      } catch (const Error&) {
        cannot_send(object);
      }
    }
    if (!sent) send_waiting(object, encoded);
    return none();
  });
}

// --- receiving

[[noreturn]] void raise_remote(const RemoteError& error) {
  const std::string& text = error.formatted();
  const PyRef formatted =
      PyRef::check(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  const PyRef instance = PyRef::check(PyObject_CallOneArg(module().remote_error, formatted.get()));
  PyErr_SetObject(module().remote_error, instance.get());
  throw PythonError();
}

// What the connection threw out of a wait for an item or for the end.
[[noreturn]] void raise_end(PyObject* channel, const char* timeout_text, PyObject* timeout) {
  try {
    throw;
  } catch (const RemoteError& error) {
    raise_remote(error);
  } catch (const gangway::TimeoutError&) {
    PyErr_Format(module().timeout_error, timeout_text, timeout);
    throw PythonError();
  } catch (const EndOfChannel&) {
    const auto lost = module().agent->lost();
    if (lost && !connection().is_closed(*self_of(channel).state())) {
      PyErr_SetString(PyExc_EOFError, lost->c_str());
      throw PythonError();
    }
    throw_format(PyExc_EOFError, "%R has ended", channel);
  } catch (const Error& error) {
    if (error.code() == errc::has_callback)
      throw_format(PyExc_OSError, "cannot receive from %R: it has a callback", channel);
    if (error.code() != errc::terminated) throw;
    PyErr_SetString(PyExc_EOFError, error.what());
    throw PythonError();
  }
}

PyRef receive_waiting(PyObject* object, PyObject* timeout) {
  const PyRef alive = PyRef::share(object);
  const ChannelPtr state = self_of(object).state();
  const detail::Deadline deadline = deadline_of(timeout);
  Blocking blocking(*module().agent);
  for (;;) {
    blocking.check();
    std::optional<detail::InItem> item;
    try {
      const WithoutGil released;
      item = connection().receive(state, blocking.waiter(), deadline);
    } catch (...) {
      raise_end(object, "no item after %R seconds", timeout);
    }
    if (item) return decode_object(std::move(*item), object_channels());
  }
}

PyRef receive_one(PyObject* object, PyObject* timeout) {
  std::optional<detail::InItem> item;
  try {
    item = connection().try_receive(*self_of(object).state());
  } catch (...) {
    raise_end(object, "", nullptr);
  }
  return item ? decode_object(std::move(*item), object_channels()) : receive_waiting(object, timeout);
}

// The only argument of receive and waitclose.
PyObject* timeout_of(const char* function, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  if (count + named == 0) return Py_None;
  if (count + named == 1 &&
      (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") == 0))
    return args[0];
  PyErr_Format(PyExc_TypeError, "%s() takes one argument, timeout", function);
  throw PythonError();
}

PyObject* receive(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guarded([&] { return receive_one(object, timeout_of("receive", args, count, names)).release(); });
}

PyObject* iter_next(PyObject* object) {
  PyObject* const item = guarded([&] { return receive_one(object, Py_None).release(); });
  if (item == nullptr && PyErr_ExceptionMatches(PyExc_EOFError) != 0) PyErr_Clear();  // nothing set: the end
  return item;
}

PyObject* next(PyObject* object, PyObject*) {
  PyObject* const item = iter_next(object);
  if (item == nullptr && PyErr_Occurred() == nullptr) PyErr_SetNone(PyExc_StopIteration);
  return item;
}

PyObject* setcallback(PyObject* object, PyObject* args, PyObject* names) {
  return guarded([&]() -> PyObject* {
    static const char* keywords[] = {"callback", "endmarker", nullptr};
    PyObject *callback = nullptr, *endmarker = nullptr;
    if (PyArg_ParseTupleAndKeywords(args, names, "O|O:setcallback", const_cast<char**>(keywords), &callback,
                                    &endmarker) == 0)
      throw PythonError();
    if (PyCallable_Check(callback) == 0) throw_format(PyExc_TypeError, "%R is not callable", callback);
    const PyRef alive = PyRef::share(object);
    set_python_callback(self_of(object).state(), callback, endmarker);
    return none();
  });
}

PyObject* reconfigure(PyObject* object, PyObject* args, PyObject* names) {
  return guarded([&] {
    static const char* keywords[] = {"py2str_as_py3str", "py3str_as_py2str", nullptr};
    int first = 1, second = 0;
    if (PyArg_ParseTupleAndKeywords(args, names, "|pp:reconfigure", const_cast<char**>(keywords), &first, &second) == 0)
      throw PythonError();
    if (module().agent->lost() || connection().is_closed(*self_of(object).state())) cannot_send(object);
    connection().reconfigure(self_of(object).state(), {first != 0, second != 0});
    return none();
  });
}

PyObject* makefile(PyObject* object, PyObject* args, PyObject* names) {
  return guarded([&]() -> PyObject* {
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

PyObject* waitclose(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guarded([&] {
    PyObject* const timeout = timeout_of("waitclose", args, count, names);
    const PyRef alive = PyRef::share(object);
    const ChannelPtr state = self_of(object).state();
    const detail::Deadline deadline = deadline_of(timeout);
    Blocking blocking(*module().agent);
    for (bool ended = false; !ended;) {
      blocking.check();
      try {
        const WithoutGil released;
        ended = connection().wait_end(state, blocking.waiter(), deadline);
      } catch (...) {
        raise_end(object, "not closed after %R seconds", timeout);
      }
    }
    return none();
  });
}

PyObject* get_remote_error(PyObject* object, PyObject*) {
  return guarded([&]() -> PyObject* {
    try {
      (void)connection().try_wait_end(*self_of(object).state());
      return none();
    } catch (...) {
      try {
        raise_end(object, "", nullptr);
      } catch (const PythonError&) {
      }
    }
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
  });
}

// --- the end

PyObject* is_closed(PyObject* object, PyObject*) {
  return guarded([&] { return PyBool_FromLong(connection().is_closed(*self_of(object).state())); });
}

void close_with(const ChannelPtr& state, PyObject* error) {
  if (module().agent->lost()) return;
  if (error == Py_None)
    connection().close(state);
  else
    connection().close(state, text_of(error));
}

PyObject* close(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return guarded([&] {
    const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
    if (count + named > 1 ||
        (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "error") != 0)) {
      PyErr_SetString(PyExc_TypeError, "close() takes one argument, error");
      throw PythonError();
    }
    if (module().agent->is_executing(self_of(object).id))
      throw_format(PyExc_OSError, "explicit close of %R: its task is running", object);
    close_with(self_of(object).state(), count + named == 0 ? Py_None : args[0]);
    return none();
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
    const Agent::Finished finished = module().agent->finish_task(self_of(object).id);
    if (finished.interrupted) drop_late_interrupt();
    if (finished.was_task) close_with(self_of(object).state(), text);
  } catch (...) {
    translate_exception();
    PyErr_Clear();
  }
  return none();
}

PyObject* get_executing(PyObject* object, void*) {
  return PyBool_FromLong(module().agent->is_executing(self_of(object).id));
}

int set_executing(PyObject* object, PyObject* value, void*) {
  const int on = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (on < 0) return -1;
  if (!module().agent->set_executing(self_of(object).id, on != 0)) return 0;
  PyErr_SetNone(PyExc_KeyboardInterrupt);  // it was interrupted before it began
  return -1;
}

PyObject* get_gateway(PyObject*, void*) {
  Py_INCREF(module().gateway);
  return module().gateway;
}

// --- the object

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(self_of(object).dict);
  return 0;
}

int clear(PyObject* object) {
  Py_CLEAR(self_of(object).dict);
  return 0;
}

// An error that nobody has fetched is said on stderr.
void warn_of_error(const ChannelPtr& channel) {
  try {
    (void)connection().try_wait_end(*channel);
  } catch (const RemoteError& error) {
    if (error.formatted() != interrupt_text)
      PySys_FormatStderr("[%d] Warning: unhandled RemoteError: %s\n", module().agent->pid(), error.formatted().c_str());
  } catch (const std::exception&) {
  }
}

void deallocate(PyObject* object) {
  ChannelObject& self = self_of(object);
  PyObject_GC_UnTrack(object);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (self.weak_references != nullptr) PyObject_ClearWeakRefs(object);
  objects().erase(self.id);
  clear(object);
  if (module().agent->in_child()) {
    new std::shared_ptr<ChannelHandle>(std::move(self.handle));  // never closed: it is the parent's
  } else {
    if (self.handle.use_count() == 1) warn_of_error(self.state());  // not a task's own channel
  }
  self.handle.~shared_ptr();
  PyErr_Restore(type, value, traceback);
  Py_TYPE(object)->tp_free(object);
}

PyCFunction with_keywords(PyCFunctionWithKeywords method) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(method));
}

PyCFunction fast(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"send", send, METH_O, "Sends one item. Waits for credit and transport, not for the peer's code."},
    {"receive", fast(receive), METH_FASTCALL | METH_KEYWORDS,
     "The next item. RemoteError once, then EOFError, at the end."},
    {"setcallback", with_keywords(setcallback), METH_VARARGS | METH_KEYWORDS,
     "Calls callback(item) for each item, and callback(endmarker), if there is one, at the end: for\n"
     "what is queued before this returns, for what follows in a thread of its own."},
    {"makefile", with_keywords(makefile), METH_VARARGS | METH_KEYWORDS,
     "A file that writes (\"w\") or reads (\"r\") this channel."},
    {"reconfigure", with_keywords(reconfigure), METH_VARARGS | METH_KEYWORDS,
     "How strings arrive from now on, here and at the peer: with py3str_as_py2str as bytes."},
    {"waitclose", fast(waitclose), METH_FASTCALL | METH_KEYWORDS,
     "Returns when nothing more can arrive; raises the pending error."},
    {"close", fast(close), METH_FASTCALL | METH_KEYWORDS,
     "Ends the channel on both sides; with a text, in an error at the peer."},
    {"isclosed", is_closed, METH_NOARGS, nullptr},
    {"next", next, METH_NOARGS, nullptr},
    {"_getremoteerror", get_remote_error, METH_NOARGS, nullptr},
    {"_finish", finish, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"id", T_UINT, offsetof(ChannelObject, id), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef attributes[] = {
    {"gateway", get_gateway, nullptr, nullptr, nullptr},
    {"_executing", get_executing, set_executing, nullptr, nullptr},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyTypeObject make_type() {
  PyTypeObject type{};
  Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);  // never freed
  type.tp_name = "_gangway.Channel";
  type.tp_doc = "One end of a channel. Any method may be called from any thread.";
  type.tp_basicsize = sizeof(ChannelObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  type.tp_dealloc = deallocate;
  type.tp_traverse = traverse;
  type.tp_clear = clear;
  type.tp_repr = repr;
  type.tp_iter = PyObject_SelfIter;
  type.tp_iternext = iter_next;
  type.tp_methods = methods;
  type.tp_members = members;
  type.tp_getset = attributes;
  type.tp_dictoffset = offsetof(ChannelObject, dict);
  type.tp_weaklistoffset = offsetof(ChannelObject, weak_references);
  return type;
}

}  // namespace

PyTypeObject& channel_type() noexcept {
  static PyTypeObject type = make_type();
  return type;
}

void prepare_channel_type() {
  PyTypeObject& type = channel_type();
  check_status(PyType_Ready(&type));
  check_status(PyDict_SetItemString(type.tp_dict, "RemoteError", module().remote_error));
  check_status(PyDict_SetItemString(type.tp_dict, "TimeoutError", module().timeout_error));
  PyType_Modified(&type);
}

PyRef channel_object(std::shared_ptr<ChannelHandle> handle) {
  const std::uint32_t id = handle->state->id;
  const auto found = objects().find(id);
  if (found != objects().end()) return PyRef::share(reinterpret_cast<PyObject*>(found->second));
  PyTypeObject& type = channel_type();
  PyRef object = PyRef::check(type.tp_alloc(&type, 0));
  ChannelObject& self = self_of(object.get());
  self.id = id;
  new (&self.handle) std::shared_ptr<ChannelHandle>(std::move(handle));
  objects().emplace(id, &self);
  return object;
}

void warn_of_unseen_error(const ChannelPtr& channel) {
  if (objects().count(channel->id) == 0) warn_of_error(channel);
}

ObjectChannels& object_channels() noexcept {
  static Channels channels;
  return channels;
}

}  // namespace gangway::python
