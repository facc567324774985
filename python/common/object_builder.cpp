#include "python/common/object_builder.hpp"

#include <cstring>

#include <gangway/error.hpp>

#include "python/common/exceptions.hpp"
#include "python/common/gc_pause.hpp"

namespace gangway::python {

namespace {

PyRef text_of(std::string_view text) {
  return PyRef::check(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr));
}

}  // namespace

PyRef ObjectBuilder::make_big_integer(std::span<const std::byte> bytes) const {
  return PyRef::check(_PyLong_FromByteArray(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), 1, 1));
}

// Making a text costs 30 ns and hashing it later as much again, finding it here 5.
PyRef ObjectBuilder::make_str(std::string_view text) {
  if (strings_ == detail::Strings::as_bytes) return make_bytes(std::as_bytes(std::span(text)));
  if (text.empty() || text.size() > longest_recent) return text_of(text);
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const std::size_t slot =
      (text.size() * 31 + byte(0) * 7 + byte(text.size() / 2) * 5 + byte(text.size() - 1)) % recent_.size();
  PyRef& recent = recent_[slot];
  if (recent && static_cast<std::size_t>(PyUnicode_GET_LENGTH(recent.get())) == text.size() &&
      std::memcmp(PyUnicode_DATA(recent.get()), text.data(), text.size()) == 0)
    return PyRef::share(recent.get());
  PyRef made = text_of(text);
  if (PyUnicode_IS_COMPACT_ASCII(made.get())) recent = PyRef::share(made.get());
  return made;
}

PyRef ObjectBuilder::make_bytes(std::span<const std::byte> bytes) const {
  return PyRef::check(
      PyBytes_FromStringAndSize(reinterpret_cast<const char*>(bytes.data()), static_cast<Py_ssize_t>(bytes.size())));
}

PyRef ObjectBuilder::make_tuple(std::span<PyRef> items) const {
  PyRef tuple = PyRef::check(PyTuple_New(static_cast<Py_ssize_t>(items.size())));
  for (std::size_t at = 0; at < items.size(); ++at)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(at), items[at].release());
  return tuple;
}

PyRef ObjectBuilder::make_frozenset(std::span<PyRef> members) const {
  PyRef set = PyRef::check(PyFrozenSet_New(nullptr));
  // Allowed as long as nobody else has seen it.
  for (const PyRef& member : members) check_status(PySet_Add(set.get(), member.get()));
  return set;
}

void ObjectBuilder::append(PyRef& list, std::span<PyRef> items) const {
  if (PyList_GET_SIZE(list.get()) == 0) {
    // Nobody has seen the empty one: one of the right size takes its place.
    PyRef whole = PyRef::check(PyList_New(static_cast<Py_ssize_t>(items.size())));
    for (std::size_t at = 0; at < items.size(); ++at)
      PyList_SET_ITEM(whole.get(), static_cast<Py_ssize_t>(at), items[at].release());
    list = std::move(whole);
    return;
  }
  for (const PyRef& item : items) check_status(PyList_Append(list.get(), item.get()));
}

void ObjectBuilder::replace(PyRef& list, std::size_t at, PyRef& item) const {
  check_status(PyList_SetItem(list.get(), static_cast<Py_ssize_t>(at), item.release()));
}

void ObjectBuilder::set_items(PyRef& dict, std::span<PyRef> keys_and_values) const {
  for (std::size_t at = 0; at < keys_and_values.size(); at += 2)
    check_status(PyDict_SetItem(dict.get(), keys_and_values[at].get(), keys_and_values[at + 1].get()));
}

void ObjectBuilder::add(PyRef& set, std::span<PyRef> members) const {
  for (const PyRef& member : members) check_status(PySet_Add(set.get(), member.get()));
}

PyRef ObjectBuilder::make_array(const detail::ArrayHeader& header, std::span<const std::byte> data) const {
  const PyRef maker = channels_.array_maker();
  const PyRef shape = PyRef::check(PyTuple_New(static_cast<Py_ssize_t>(header.shape.size())));
  for (std::size_t at = 0; at < header.shape.size(); ++at)
    PyTuple_SET_ITEM(shape.get(), static_cast<Py_ssize_t>(at),
                     PyRef::check(PyLong_FromUnsignedLongLong(header.shape[at])).release());
  char* const from = const_cast<char*>(reinterpret_cast<const char*>(data.data()));  // read only, says the flag
  static char nothing;
  const PyRef view = PyRef::check(
      PyMemoryView_FromMemory(data.empty() ? &nothing : from, static_cast<Py_ssize_t>(data.size()), PyBUF_READ));
  PyRef array = PyRef::steal(PyObject_CallFunction(maker.get(), "s#sOO", header.dtype.data(),
                                                   static_cast<Py_ssize_t>(header.dtype.size()),
                                                   header.fortran ? "F" : "C", shape.get(), view.get()));
  if (array) return array;
  if (PyErr_ExceptionMatches(PyExc_ValueError) == 0) throw PythonError();
  throw LoadError(errc::bad_item, "bad item: " + text_of(take_exception().get()));
}

PyRef decode_object(detail::InItem item, ObjectChannels& channels) {
  using detail::ItemKind;
  ObjectBuilder builder(channels, item.strings);
  switch (item.kind) {
    case ItemKind::integer: return builder.make_integer(item.integer);
    case ItemKind::bytes: return builder.make_bytes(item.payload.span());
    case ItemKind::str: {
      PyRef text = PyRef::steal(PyUnicode_DecodeUTF8(reinterpret_cast<const char*>(item.payload.data()),
                                                     static_cast<Py_ssize_t>(item.payload.size()), nullptr));
      if (text)
        return item.strings == detail::Strings::as_bytes ? builder.make_bytes(item.payload.span()) : std::move(text);
      if (PyErr_ExceptionMatches(PyExc_UnicodeDecodeError) == 0) throw PythonError();
      PyErr_Clear();
      throw LoadError(errc::bad_text, "bad item: a str that is not UTF-8");
    }
    default: {
      const GcPause pause;
      return detail::PickleDecoder<ObjectBuilder>(builder, item.payload.span()).decode();
    }
  }
}

}  // namespace gangway::python
