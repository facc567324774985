#include "python/common/object_walker.hpp"

#include <cstring>
#include <iterator>

#include <gangway/limits.hpp>

namespace gangway::python {

using detail::NodeKind;

namespace {

/// True when it fits in 64 bits.
bool fits(PyObject* number, std::int64_t& value) {
  int overflow = 0;
  const long long result = PyLong_AsLongLongAndOverflow(number, &overflow);
  if (overflow != 0) return false;
  if (result == -1 && PyErr_Occurred() != nullptr) throw PythonError();
  value = result;
  return true;
}

[[noreturn]] void refuse_text() {
  PyObject *type = nullptr, *error = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &error, &traceback);
  PyErr_NormalizeException(&type, &error, &traceback);
  const PyRef owned[] = {PyRef::steal(type), PyRef::steal(error), PyRef::steal(traceback)};
  std::string reason = "not UTF-8";
  if (const PyRef text = PyRef::steal(PyObject_Str(error)))
    if (const char* const utf8 = PyUnicode_AsUTF8(text.get())) reason = utf8;
  PyErr_Clear();
  throw DumpError(errc::bad_text, "can't serialize <class 'str'>: " + reason);
}

// The UTF-8 form; `owner` is what it is in when it is not the object itself. Python would
// keep the form in the object as well, which doubles its memory.
std::string_view utf8_of(PyObject* text, PyRef& owner) {
  check_status(PyUnicode_READY(text));
  if (PyUnicode_IS_COMPACT_ASCII(text))
    return {static_cast<const char*>(PyUnicode_DATA(text)), static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))};
  owner = PyRef::steal(PyUnicode_AsUTF8String(text));
  if (!owner) {
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) != 0) refuse_text();
    throw PythonError();
  }
  return {PyBytes_AS_STRING(owner.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(owner.get()))};
}

std::span<const std::byte> bytes_of(PyObject* bytes) {
  return {reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(bytes)),
          static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

void check_arrays(const ObjectChannels& channels, PyObject* object) {
  if (!channels.sends_arrays())
    throw DumpError(errc::cannot_serialize,
                    "can't serialize " + type_text(object) + ": the version of the peer reads no arrays");
}

}  // namespace

std::string type_text(PyObject* object) {
  const PyRef text = PyRef::steal(PyObject_Repr(reinterpret_cast<PyObject*>(Py_TYPE(object))));
  const char* const utf8 = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
  if (utf8 != nullptr) return utf8;
  PyErr_Clear();
  return Py_TYPE(object)->tp_name;
}

NodeKind ObjectWalker::kind(Node node) {
  PyTypeObject* const type = Py_TYPE(node);
  if (type == &PyUnicode_Type) return NodeKind::str;
  if (type == &PyLong_Type) return fits(node, integer_) ? NodeKind::integer : NodeKind::big_integer;
  if (type == &PyFloat_Type) return NodeKind::floating;
  if (type == &PyDict_Type) return NodeKind::dict;
  if (type == &PyList_Type) return NodeKind::list;
  if (type == &PyTuple_Type) return NodeKind::tuple;
  if (node == Py_None) return NodeKind::none;
  if (type == &PyBool_Type) return NodeKind::boolean;
  if (type == &PyBytes_Type) return NodeKind::bytes;
  if (type == &PySet_Type) return NodeKind::set;
  if (type == &PyFrozenSet_Type) return NodeKind::frozenset;
  if (type == &PyComplex_Type) return NodeKind::complex;
  if (channels_.is_channel(node)) return NodeKind::channel;
  return buffers_ == Buffers::sent ? kind_of_buffer(node) : NodeKind::other;
}

NodeKind ObjectWalker::kind_of_buffer(Node node) {
  if (!buffer_.take(node)) return NodeKind::other;
  if (buffer_.is_bytes()) return NodeKind::bytes;
  check_arrays(channels_, node);
  has_met_arrays_ = true;
  return NodeKind::array;
}

std::span<const std::byte> ObjectWalker::big_integer(Node node) {
  const std::size_t bits = _PyLong_NumBits(node);
  if (bits == static_cast<std::size_t>(-1) && PyErr_Occurred() != nullptr) throw PythonError();
  const std::size_t size = bits / 8 + 1;
  if (size > limits::int_bytes)
    throw DumpError(errc::item_too_large,
                    "can't serialize an int of more than " + std::to_string(limits::int_bytes) + " bytes");
  big_.resize_uninitialized(size);
  check_status(_PyLong_AsByteArray(reinterpret_cast<PyLongObject*>(node), reinterpret_cast<unsigned char*>(big_.data()),
                                   size, 1, 1));
  // -2^(8n-1) needs n bytes, and bit_length says 8n.
  std::size_t least = size;
  if (least > 1 && big_[least - 1] == std::byte{0xff} && (big_[least - 2] & std::byte{0x80}) != std::byte{0}) --least;
  return big_.span().first(least);
}

std::complex<double> ObjectWalker::complex(Node node) const noexcept {
  return {PyComplex_RealAsDouble(node), PyComplex_ImagAsDouble(node)};
}

std::string_view ObjectWalker::str(Node node) { return utf8_of(node, text_); }

std::span<const std::byte> ObjectWalker::bytes(Node node) {
  return PyBytes_CheckExact(node) ? bytes_of(node) : buffer_.data();
}

std::string ObjectWalker::type_name(Node node) const { return type_text(node); }

std::size_t ObjectWalker::size(Node node) const {
  if (PyList_CheckExact(node)) return static_cast<std::size_t>(PyList_GET_SIZE(node));
  if (PyTuple_CheckExact(node)) return static_cast<std::size_t>(PyTuple_GET_SIZE(node));
  if (PyDict_CheckExact(node)) return static_cast<std::size_t>(PyDict_GET_SIZE(node));
  return static_cast<std::size_t>(PySet_GET_SIZE(node));
}

ObjectWalker::Cursor ObjectWalker::open(Node node) const {
  Cursor cursor;
  cursor.container = node;
  if (PyAnySet_CheckExact(node)) cursor.iterator = PyRef::check(PyObject_GetIter(node));
  return cursor;
}

bool ObjectWalker::next(Cursor& cursor, Node& node) const {
  PyObject* const container = cursor.container;
  if (PyList_CheckExact(container)) {
    if (cursor.at >= PyList_GET_SIZE(container)) return false;
    node = PyList_GET_ITEM(container, cursor.at++);
    return true;
  }
  if (PyDict_CheckExact(container)) {
    if (cursor.value != nullptr) {
      node = std::exchange(cursor.value, nullptr);
      return true;
    }
    return PyDict_Next(container, &cursor.at, &node, &cursor.value) != 0;
  }
  if (PyTuple_CheckExact(container)) {
    if (cursor.at >= PyTuple_GET_SIZE(container)) return false;
    node = PyTuple_GET_ITEM(container, cursor.at++);
    return true;
  }
  cursor.member = PyRef::steal(PyIter_Next(cursor.iterator.get()));
  if (!cursor.member && PyErr_Occurred() != nullptr) throw PythonError();
  node = cursor.member.get();
  return node != nullptr;
}

void EncodedObject::encode(PyObject* object) {
  using detail::ItemKind;
  PyTypeObject* const type = Py_TYPE(object);
  if (type == &PyLong_Type && fits(object, integer_)) {
    item_ = {ItemKind::integer, std::as_bytes(std::span(&integer_, 1))};
  } else if (type == &PyBytes_Type) {
    item_ = {ItemKind::bytes, bytes_of(object)};
    owner_ = PyRef::share(object);
  } else if (type == &PyUnicode_Type) {
    PyRef form;
    item_ = {ItemKind::str, std::as_bytes(std::span(utf8_of(object, form)))};
    owner_ = form ? std::move(form) : PyRef::share(object);
  } else if (PyObject_CheckBuffer(object) == 0 || !encode_buffer(object)) {
    encode_pickle(object, ItemKind::pickle);
  }
}

// False for what gets smaller or is refused as a pickle.
bool EncodedObject::encode_buffer(PyObject* object) {
  BufferItem buffer;
  if (!buffer.take(object)) return false;
  const std::size_t size = buffer.size();
  if (buffer.is_bytes()) {
    if (buffer.contiguous()) {
      item_ = {detail::ItemKind::bytes, buffer.data()};
      owner_ = buffer.take_owner();
      return true;
    }
    scratch_.resize_uninitialized(size);
    buffer.copy_to(scratch_.data());
    item_ = {detail::ItemKind::bytes, scratch_.span()};
    return true;
  }
  check_arrays(channels_, object);
  if (size <= limits::frame_sent) return false;  // it is copied anyway

  scratch_.clear();
  detail::ByteWriter writer(scratch_);
  writer.opcode_little<1>(detail::pickle::proto, detail::pickle::version);
  detail::write_array_head(writer, buffer.header(), size);
  writer.finish();
  const std::size_t head = scratch_.size();
  const std::size_t copied = buffer.contiguous() ? 0 : size;
  const std::size_t tail = std::size(detail::array_tail);
  scratch_.resize_uninitialized(head + copied + tail + 1);
  if (copied != 0) buffer.copy_to(scratch_.data() + head);
  std::memcpy(scratch_.data() + head + copied, detail::array_tail, tail);
  scratch_[head + copied + tail] = std::byte{detail::pickle::stop};

  const auto all = std::as_const(scratch_).span();
  if (copied != 0) {
    item_ = {detail::ItemKind::pickle, all};
  } else {
    item_ = {detail::ItemKind::pickle, buffer.data(), all.first(head), all.subspan(head)};
    owner_ = buffer.take_owner();
  }
  item_.has_arrays = true;
  return true;
}

void EncodedObject::encode_exec(PyObject* request) { encode_pickle(request, detail::ItemKind::exec); }

void EncodedObject::encode_pickle(PyObject* object, detail::ItemKind kind) {
  ObjectWalker walker(channels_, ObjectWalker::Buffers::sent);
  detail::PickleEncoder<ObjectWalker>(walker, scratch_).encode(object);
  item_ = {kind, scratch_.span()};
  item_.has_arrays = walker.has_met_arrays();
}

}  // namespace gangway::python
