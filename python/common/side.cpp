#include "python/common/side.hpp"

#include <utility>

#include "python/common/channel_object.hpp"

namespace gangway::python {

void Side::check_process() const {
  if (!in_child()) return;
  PyErr_Format(PyExc_OSError, "the connection belongs to another process, pid %d", pid_);
  throw PythonError();
}

PyRef Side::wrap(std::shared_ptr<ChannelHandle> handle) {
  const std::uint32_t id = handle->state->id;
  const auto known = [&] {
    const auto found = objects_.find(id);
    return found == objects_.end() ? PyRef() : PyRef::share(reinterpret_cast<PyObject*>(found->second));
  };
  if (PyRef object = known()) return object;
  PyRef made = ChannelObject::make(shared_from_this(), std::move(handle));
  if (PyRef object = known()) return object;  // of a thread that had the GIL while memory was collected
  objects_.emplace(id, reinterpret_cast<ChannelObject*>(made.get()));
  return made;
}

std::vector<PyRef> Side::channels() const {
  std::vector<PyRef> all;
  for (const auto& [id, object] : objects_) all.push_back(PyRef::share(reinterpret_cast<PyObject*>(object)));
  return all;
}

bool Side::is_channel(PyObject* object) const noexcept { return PyObject_TypeCheck(object, &channel_type()) != 0; }

std::uint32_t Side::id_of(PyObject* channel) const {
  const ChannelObject& object = ChannelObject::of(channel);
  if (object.side.get() != this) throw DumpError(errc::bad_channel, "can't serialize a channel of another gateway");
  return object.id;
}

PyRef Side::channel(std::uint32_t id) {
  return wrap(std::static_pointer_cast<ChannelHandle>(connection().channel(id).object));
}

std::optional<std::chrono::nanoseconds> timeout_of(PyObject* timeout) {
  if (timeout == nullptr || timeout == Py_None) return {};
  const double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) throw PythonError();
  if (seconds < 0) {
    PyErr_SetString(PyExc_ValueError, "negative timeout");
    throw PythonError();
  }
  if (!(seconds < 1e9)) return {};  // 30 years; also what is not a number
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

detail::Deadline deadline_of(PyObject* timeout) { return detail::deadline_after(timeout_of(timeout)); }

}  // namespace gangway::python
