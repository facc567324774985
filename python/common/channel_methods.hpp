// What can be done with a Channel: the methods of the type, and what others of them are made
// of. Thread rule: the GIL is held.
#pragma once

#include "python/common/channel_object.hpp"
#include "python/common/exceptions.hpp"
#include "python/common/method.hpp"

namespace gangway::python {

extern PyMethodDef channel_methods[];
[[nodiscard]] PyObject* channel_iter_next(PyObject* object);

/// Runs a method for its channel; not in a forked child.
template <class Body>
PyObject* channel_call(PyObject* object, Body body) noexcept {
  return translated([&] {
    ChannelObject& self = ChannelObject::of(object);
    if (self.side->in_child()) self.side->check_process();
    return body(self);
  });
}

/// The only argument of a method, which is called `name`; None when it was left out. Throws PythonError.
[[nodiscard]] PyObject* only_argument(const char* method, const char* name, PyObject* const* args, Py_ssize_t count,
                                      PyObject* names);

/// Sends, at once or waiting. Throws DumpError, PythonError; ChannelClosed and ConnectionLost.
void send_encoded(Side& side, const ChannelPtr& channel, EncodedObject& encoded);

/// The same if that needs no waiting and is soon done; false: nothing was sent.
[[nodiscard]] bool send_encoded_now(Connection& connection, const ChannelPtr& channel, const EncodedObject& encoded);

/// The OSError for what the connection threw, in the words of the channel.
[[noreturn]] void cannot_send(PyObject* channel);

/// The next item, if there is one; else null. Throws PythonError: RemoteError (once), EOFError.
[[nodiscard]] PyRef receive_now(PyObject* channel);

/// The Python error for what the connection threw out of a wait for an item or for the end, which
/// is being handled. `timeout_text` has one %R, for `timeout`.
[[noreturn]] void raise_end(PyObject* channel, const char* timeout_text, PyObject* timeout);

/// Ends the channel at both sides, with the text of `error` unless that is None; not when the
/// connection is lost.
void close_channel(ChannelObject& channel, PyObject* error);

[[nodiscard]] inline PyObject* none() {
  Py_INCREF(Py_None);
  return Py_None;
}

}  // namespace gangway::python
