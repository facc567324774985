#include "python/common/buffer_item.hpp"

#include <bit>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "python/common/exceptions.hpp"
#include "python/common/object_walker.hpp"

namespace gangway::python {

namespace {

constexpr std::string_view numpy_array = "numpy.ndarray";  // known by name: numpy is not imported for this

// What would arrive without that which makes it more than its base.
bool is_subclass(PyObject* object) {
  if (PyBytes_Check(object) || (PyByteArray_Check(object) && !PyByteArray_CheckExact(object))) return true;
  for (const PyTypeObject* type = Py_TYPE(object)->tp_base; type != nullptr; type = type->tp_base)
    if (type->tp_name == numpy_array || type->tp_name == std::string_view("array.array")) return true;
  return false;
}

[[noreturn]] void refuse(PyObject* object, const std::string& why) {
  throw DumpError(errc::cannot_serialize, "can't serialize " + type_text(object) + ": " + why);
}

// A format of the struct module, or one of numpy's for complex numbers, as numpy names the type:
// kind for the table of core/array_header.cpp; 0 for others.
char kind_of(std::string_view code) {
  if (code == "Zf" || code == "Zd") return 'c';
  if (code.size() != 1) return 0;
  if (code == "?") return 'b';
  if (std::strchr("bhilqn", code.front()) != nullptr) return 'i';
  if (std::strchr("cBHILQN", code.front()) != nullptr) return 'u';
  return std::strchr("efd", code.front()) != nullptr ? 'f' : char{0};
}

}  // namespace

bool BufferItem::take(PyObject* object) {
  if (PyObject_CheckBuffer(object) == 0 || is_subclass(object)) return false;
  memoryview_ = PyRef::steal(PyMemoryView_FromObject(object));
  if (!memoryview_) {
    // numpy has no format for some types; a memoryview may have been released.
    if (PyErr_ExceptionMatches(PyExc_ValueError) == 0 && PyErr_ExceptionMatches(PyExc_BufferError) == 0)
      throw PythonError();
    refuse(object, text_of(take_exception().get()));
  }
  const Py_buffer& buffer = view();
  const bool is_numpy = Py_TYPE(object)->tp_name == numpy_array;
  if (buffer.ndim == 0 && !is_numpy) return false;
  const std::string_view format = buffer.format == nullptr ? "B" : buffer.format;
  const std::string_view code = format.substr(std::strchr("@=<>!", format.front()) != nullptr ? 1 : 0);
  header_ = {};
  if (buffer.ndim == 1 && !is_numpy && (code == "B" || code == "c")) {
    contiguous_ = PyBuffer_IsContiguous(&buffer, 'C') != 0;
    return true;
  }

  const bool swapped = format.front() == (std::endian::native == std::endian::little ? '>' : '<') ||
                       (format.front() == '!' && std::endian::native == std::endian::little);
  const char native = std::endian::native == std::endian::little ? '<' : '>';
  const char order = buffer.itemsize == 1 ? '|' : swapped ? native == '<' ? '>' : '<' : native;
  std::snprintf(dtype_, sizeof dtype_, "%c%c%zd", order, kind_of(code), buffer.itemsize);
  if (detail::element_size(dtype_) == 0) refuse(object, "elements of the format '" + std::string(format) + "'");
  if (static_cast<std::size_t>(buffer.ndim) > limits::array_dimensions)
    refuse(object,
           std::to_string(buffer.ndim) + " dimensions, the limit is " + std::to_string(limits::array_dimensions));
  shape_.assign(buffer.shape, buffer.shape + buffer.ndim);
  contiguous_ = PyBuffer_IsContiguous(&buffer, 'A') != 0;
  header_ = {dtype_, contiguous_ && PyBuffer_IsContiguous(&buffer, 'C') == 0, shape_};
  return true;
}

void BufferItem::copy_to(std::byte* to) const {
  // It takes no const, and changes nothing.
  auto& buffer = const_cast<Py_buffer&>(view());
  check_status(PyBuffer_ToContiguous(to, &buffer, buffer.len, header_.fortran ? 'F' : 'C'));
}

std::span<const std::byte> BufferItem::data() {
  if (contiguous_) return {static_cast<const std::byte*>(view().buf), size()};
  copy_.resize_uninitialized(size());
  copy_to(copy_.data());
  return std::as_const(copy_).span();
}

}  // namespace gangway::python
