// Makes Python objects for the decoders (core/item_walker.hpp). Thread rule: the GIL is held.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "channels/channel_state.hpp"
#include "core/item_walker.hpp"
#include "core/pickle_decoder.hpp"
#include "python/common/object_walker.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

/// Its functions throw PythonError, most likely for want of memory.
class ObjectBuilder {
 public:
  using Node = PyRef;

  explicit ObjectBuilder(ObjectChannels& channels, detail::Strings strings = {}) noexcept
      : channels_(channels), strings_(strings) {}

  [[nodiscard]] PyRef make_none() const noexcept { return PyRef::share(Py_None); }
  [[nodiscard]] PyRef make_bool(bool value) const noexcept { return PyRef::share(value ? Py_True : Py_False); }
  [[nodiscard]] PyRef make_integer(std::int64_t value) const { return PyRef::check(PyLong_FromLongLong(value)); }
  [[nodiscard]] PyRef make_big_integer(std::span<const std::byte> bytes) const;
  [[nodiscard]] PyRef make_float(double value) const { return PyRef::check(PyFloat_FromDouble(value)); }
  [[nodiscard]] PyRef make_complex(double real, double imaginary) const {
    return PyRef::check(PyComplex_FromDoubles(real, imaginary));
  }
  [[nodiscard]] PyRef make_str(std::string_view text);
  [[nodiscard]] PyRef repeat_str(const PyRef& str) const noexcept { return PyRef::share(str.get()); }
  [[nodiscard]] PyRef make_bytes(std::span<const std::byte> bytes) const;
  [[nodiscard]] PyRef make_tuple(std::span<PyRef> items) const;
  [[nodiscard]] PyRef make_frozenset(std::span<PyRef> members) const;
  [[nodiscard]] PyRef make_list() const { return PyRef::check(PyList_New(0)); }
  [[nodiscard]] PyRef make_dict() const { return PyRef::check(PyDict_New()); }
  [[nodiscard]] PyRef make_set() const { return PyRef::check(PySet_New(nullptr)); }
  void append(PyRef& list, std::span<PyRef> items) const;
  void replace(PyRef& list, std::size_t at, PyRef& item) const;
  void set_items(PyRef& dict, std::span<PyRef> keys_and_values) const;
  void add(PyRef& set, std::span<PyRef> members) const;
  [[nodiscard]] PyRef make_channel(std::uint32_t id) const { return channels_.channel(id); }
  /// Throws LoadError too, for what cannot be an array here.
  [[nodiscard]] PyRef make_array(const detail::ArrayHeader& header, std::span<const std::byte> data) const;

 private:
  // A stream need not have a memo: what repeats, as the keys in a list of dicts do, is found
  // here again. ASCII texts only, whose characters are their bytes.
  static constexpr std::size_t longest_recent = 32;  // bytes

  ObjectChannels& channels_;
  const detail::Strings strings_;
  std::array<PyRef, 64> recent_;
};
static_assert(detail::DumpBuilder<ObjectBuilder> && detail::ArrayBuilder<ObjectBuilder>);

/// Throws LoadError, PythonError.
[[nodiscard]] PyRef decode_object(detail::InItem item, ObjectChannels& channels);

}  // namespace gangway::python
