// Objects of the buffer protocol as items (spec-docs/items.md): bytes, or an array.
// Thread rule: the GIL is held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <gangway/bytes.hpp>

#include "core/array_header.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

class BufferItem {
 public:
  /// False for what is no such item: no buffer, a subclass of something that has one, a single
  /// number. Throws DumpError for elements that cannot be sent.
  [[nodiscard]] bool take(PyObject* object);

  [[nodiscard]] bool is_bytes() const noexcept { return header_.dtype.empty(); }
  [[nodiscard]] const detail::ArrayHeader& header() const noexcept { return header_; }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(view().len); }
  /// Its memory is in the order of the header.
  [[nodiscard]] bool contiguous() const noexcept { return contiguous_; }
  /// That memory; a copy, kept here, when it is not in order.
  [[nodiscard]] std::span<const std::byte> data();
  /// In order, `size` bytes.
  void copy_to(std::byte* to) const;
  /// What holds the buffer: while it lives the memory stays.
  [[nodiscard]] PyRef take_owner() noexcept { return std::move(memoryview_); }

 private:
  [[nodiscard]] const Py_buffer& view() const noexcept { return *PyMemoryView_GET_BUFFER(memoryview_.get()); }

  PyRef memoryview_;
  bool contiguous_ = false;
  detail::ArrayHeader header_;  // without a dtype: bytes
  char dtype_[8] = {};
  std::vector<std::uint64_t> shape_;
  Bytes copy_;
};

}  // namespace gangway::python
