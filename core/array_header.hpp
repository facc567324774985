// What an array item says of its data (spec-docs/items.md): checked, written, read.
// Thread rule: values. Lifetime: an ArrayHeader refers to texts and numbers of its maker's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/byte_writer.hpp"
#include "core/pickle_opcodes.hpp"

namespace gangway::detail {

struct ArrayHeader {
  std::string_view dtype;  // byte order, kind and size, as numpy writes it: "<f8"
  bool fortran = false;    // the first index runs fastest
  std::span<const std::uint64_t> shape;
};

/// Bytes of one element; 0: not one of the types that may be sent.
[[nodiscard]] std::size_t element_size(std::string_view dtype) noexcept;

/// Bytes of all elements; nothing when the product of the shape without its zeros is beyond 63 bits.
[[nodiscard]] std::optional<std::uint64_t> array_size(const ArrayHeader& header) noexcept;

/// The opcodes in front of the data, of which there are `size` bytes.
void write_array_head(ByteWriter& writer, const ArrayHeader& header, std::uint64_t size);

/// Those behind it.
inline constexpr std::uint8_t array_tail[] = {pickle::tuple, pickle::reduce};

}  // namespace gangway::detail
