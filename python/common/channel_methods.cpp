#include "python/common/channel_methods.hpp"

#include <optional>
#include <utility>

#include "python/common/object_builder.hpp"
#include "python/common/pending_send.hpp"
#include "python/common/python_callback.hpp"

namespace gangway::python {

namespace {

// --- sending

PyObject* send(PyObject* object, PyObject* item) {
  return channel_call(object, [&](ChannelObject& self) {
    EncodedObject encoded(*self.side);
    encoded.encode(item);
    const PyRef alive = PyRef::share(object);
    try {
      send_encoded(*self.side, self.state(), encoded);
    } catch (const DumpError&) {
      throw;
    } catch (const Error&) {
      cannot_send(object);
    }
    return none();
  });
}

// --- receiving

PyRef receive_waiting(PyObject* object, ChannelObject& self, PyObject* timeout) {
  const PyRef alive = PyRef::share(object);
  const detail::Deadline deadline = deadline_of(timeout);
  try {
    auto item = wait_blocking(*self.side, deadline, [&](detail::Waiter& waiter, detail::Deadline until) {
      return self.connection().receive(self.state(), waiter, until);
    });
    return decode_object(std::move(*item), *self.side);
  } catch (const DataFormatError&) {
    throw;
  } catch (const Error&) {
    raise_end(object, "no item after %R seconds", timeout);
  }
}

PyRef receive_one(PyObject* object, ChannelObject& self, PyObject* timeout) {
  PyRef item = receive_now(object);
  return item ? std::move(item) : receive_waiting(object, self, timeout);
}

PyObject* receive(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return channel_call(object, [&](ChannelObject& self) {
    return receive_one(object, self, only_argument("receive", "timeout", args, count, names)).release();
  });
}

PyObject* next(PyObject* object, PyObject*) {
  PyObject* const item = channel_iter_next(object);
  if (item == nullptr && PyErr_Occurred() == nullptr) PyErr_SetNone(PyExc_StopIteration);
  return item;
}

PyObject* setcallback(PyObject* object, PyObject* args, PyObject* names) {
  return channel_call(object, [&](ChannelObject& self) {
    static const char* keywords[] = {"callback", "endmarker", nullptr};
    PyObject *callback = nullptr, *endmarker = nullptr;
    if (PyArg_ParseTupleAndKeywords(args, names, "O|O:setcallback", const_cast<char**>(keywords), &callback,
                                    &endmarker) == 0)
      throw PythonError();
    if (PyCallable_Check(callback) == 0) throw_format(PyExc_TypeError, "%R is not callable", callback);
    const PyRef alive = PyRef::share(object);
    set_python_callback(self.side, self.state(), callback, endmarker);
    return none();
  });
}

PyObject* reconfigure(PyObject* object, PyObject* args, PyObject* names) {
  return channel_call(object, [&](ChannelObject& self) {
    static const char* keywords[] = {"py2str_as_py3str", "py3str_as_py2str", nullptr};
    int first = 1, second = 0;
    if (PyArg_ParseTupleAndKeywords(args, names, "|pp:reconfigure", const_cast<char**>(keywords), &first, &second) == 0)
      throw PythonError();
    if (self.connection().end_text() || self.connection().is_closed(*self.state())) cannot_send(object);
    self.connection().reconfigure(self.state(), {first != 0, second != 0});
    return none();
  });
}

PyObject* waitclose(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return channel_call(object, [&](ChannelObject& self) {
    PyObject* const timeout = only_argument("waitclose", "timeout", args, count, names);
    const PyRef alive = PyRef::share(object);
    const detail::Deadline deadline = deadline_of(timeout);
    try {
      (void)wait_blocking(*self.side, deadline, [&](detail::Waiter& waiter, detail::Deadline until) {
        return self.connection().wait_end(self.state(), waiter, until);
      });
    } catch (const Error&) {
      raise_end(object, "not closed after %R seconds", timeout);
    }
    return none();
  });
}

PyObject* get_remote_error(PyObject* object, PyObject*) {
  return channel_call(object, [&](ChannelObject& self) {
    try {
      self.connection().throw_pending_error(*self.state());
      return none();
    } catch (const Error&) {
      try {
        raise_end(object, "", nullptr);
      } catch (const PythonError&) {
        return take_exception().release();
      }
    }
  });
}

// --- the end

PyObject* is_closed(PyObject* object, PyObject*) {
  return channel_call(object,
                      [&](ChannelObject& self) { return PyBool_FromLong(self.connection().is_closed(*self.state())); });
}

PyObject* close(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return channel_call(object, [&](ChannelObject& self) {
    PyObject* const error = only_argument("close", "error", args, count, names);
    if (self.side->is_task(self.id)) throw_format(PyExc_OSError, "explicit close of %R: its task is running", object);
    close_channel(self, error);
    return none();
  });
}

}  // namespace

PyMethodDef channel_methods[] = {
    {"send", send, METH_O, "Sends one item. Waits for credit and transport, not for the peer's code."},
    {"receive", fast(receive), METH_FASTCALL | METH_KEYWORDS,
     "The next item. RemoteError once, then EOFError, at the end."},
    {"setcallback", with_keywords(setcallback), METH_VARARGS | METH_KEYWORDS,
     "Calls callback(item) for each item, and callback(endmarker), if there is one, at the end: for\n"
     "what is queued before this returns, for what follows in a thread of its own."},
    {"reconfigure", with_keywords(reconfigure), METH_VARARGS | METH_KEYWORDS,
     "How strings arrive from now on, here and at the peer: with py3str_as_py2str as bytes."},
    {"waitclose", fast(waitclose), METH_FASTCALL | METH_KEYWORDS,
     "Returns when nothing more can arrive; raises the pending error."},
    {"close", fast(close), METH_FASTCALL | METH_KEYWORDS,
     "Ends the channel on both sides; with a text, in an error at the peer."},
    {"isclosed", is_closed, METH_NOARGS, "Whether either side has closed it."},
    {"next", next, METH_NOARGS, "The next item; StopIteration at the end."},
    {"_getremoteerror", get_remote_error, METH_NOARGS, "Takes the pending error, or gives None."},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* channel_iter_next(PyObject* object) {
  PyObject* const item =
      channel_call(object, [&](ChannelObject& self) { return receive_one(object, self, Py_None).release(); });
  if (item == nullptr && PyErr_ExceptionMatches(PyExc_EOFError) != 0) PyErr_Clear();  // nothing set: the end
  return item;
}

PyObject* only_argument(const char* method, const char* name, PyObject* const* args, Py_ssize_t count,
                        PyObject* names) {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  if (count + named == 0) return Py_None;
  if (count + named == 1 && (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), name) == 0))
    return args[0];
  PyErr_Format(PyExc_TypeError, "%s() takes one argument, %s", method, name);
  throw PythonError();
}

// Above this the copy and the write are done without the GIL.
constexpr std::size_t sent_with_gil = 32 * 1024;

bool send_encoded_now(Connection& connection, const ChannelPtr& channel, const EncodedObject& encoded) {
  const std::size_t size = encoded.item().payload.size();
  if (size > connection.peer_max_item())
    throw DumpError(errc::item_too_large, "can't serialize an item of " + std::to_string(size) +
                                              " bytes: the peer accepts " + std::to_string(connection.peer_max_item()));
  return size <= sent_with_gil && connection.try_send(channel, encoded.item());
}

void send_encoded(Side& side, const ChannelPtr& channel, EncodedObject& encoded) {
  if (!send_encoded_now(side.connection(), channel, encoded)) PendingSend(side, channel, encoded).wait();
}

void cannot_send(PyObject* object) {
  const ChannelObject& self = ChannelObject::of(object);
  const auto lost = self.connection().end_text();
  if (lost && !self.connection().is_closed(*self.state()))
    PyErr_Format(PyExc_OSError, "cannot send to %R: %s", object, lost->c_str());
  else
    PyErr_Format(PyExc_OSError, "cannot send to %R", object);
  throw PythonError();
}

void raise_end(PyObject* object, const char* timeout_text, PyObject* timeout) {
  try {
    throw;
  } catch (const RemoteError& error) {
    PyErr_SetObject(error_classes().remote_error, remote_error(error.formatted()).get());
    throw PythonError();
  } catch (const gangway::TimeoutError&) {
    throw_format(error_classes().timeout_error, timeout_text, timeout);
  } catch (const ConnectionLost& error) {
    PyErr_SetString(PyExc_EOFError, error.what());
    throw PythonError();
  } catch (const EndOfChannel&) {
    throw_format(PyExc_EOFError, "%R has ended", object);
  } catch (const Error& error) {
    if (error.code() == errc::has_callback)
      throw_format(PyExc_OSError, "cannot receive from %R: it has a callback", object);
    throw;
  }
}

PyRef receive_now(PyObject* object) {
  ChannelObject& self = ChannelObject::of(object);
  std::optional<detail::InItem> item;
  try {
    item = self.connection().try_receive(*self.state());
  } catch (const Error&) {
    raise_end(object, "", nullptr);
  }
  return item ? decode_object(std::move(*item), *self.side) : PyRef();
}

void close_channel(ChannelObject& self, PyObject* error) {
  if (self.connection().end_text()) return;
  if (error == Py_None)
    self.connection().close(self.state());
  else
    self.connection().close(self.state(), text_of(error));
}

}  // namespace gangway::python
