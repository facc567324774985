#include "core/array_header.hpp"

#include <algorithm>
#include <limits>

namespace gangway::detail {

namespace {

struct Element {
  std::string_view type;  // kind and size
  std::size_t size;
};

constexpr Element elements[] = {{"b1", 1}, {"i1", 1}, {"u1", 1}, {"i2", 2}, {"u2", 2}, {"i4", 4}, {"u4", 4},
                                {"i8", 8}, {"u8", 8}, {"f2", 2}, {"f4", 4}, {"f8", 8}, {"c8", 8}, {"c16", 16}};

void write_text(ByteWriter& writer, std::string_view text) {
  writer.opcode_little<1>(pickle::short_bin_unicode, text.size());
  writer.bytes(std::as_bytes(std::span(text)));
}

}  // namespace

std::size_t element_size(std::string_view dtype) noexcept {
  if (dtype.empty()) return 0;
  const auto* const found = std::find_if(std::begin(elements), std::end(elements),
                                         [&](const Element& element) { return element.type == dtype.substr(1); });
  if (found == std::end(elements)) return 0;
  const bool has_order = dtype.front() == '<' || dtype.front() == '>';
  return (found->size == 1 ? dtype.front() == '|' : has_order) ? found->size : 0;
}

std::optional<std::uint64_t> array_size(const ArrayHeader& header) noexcept {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  std::uint64_t size = element_size(header.dtype);
  bool empty = false;
  for (const std::uint64_t count : header.shape) {
    empty |= count == 0;
    if (count == 0) continue;
    if (count > most / size) return std::nullopt;
    size *= count;
  }
  return empty ? 0 : size;
}

void write_array_head(ByteWriter& writer, const ArrayHeader& header, std::uint64_t size) {
  write_text(writer, "_gangway");
  write_text(writer, "array");
  writer.byte(pickle::stack_global);
  writer.byte(pickle::mark);
  write_text(writer, header.dtype);
  write_text(writer, header.fortran ? "F" : "C");
  writer.byte(pickle::mark);
  for (const std::uint64_t count : header.shape) {
    writer.opcode_little<1>(pickle::long1, 8);
    std::byte* const at = writer.room(8);
    for (std::size_t i = 0; i < 8; ++i) at[i] = static_cast<std::byte>(count >> (8 * i));
    writer.wrote(8);
  }
  writer.byte(pickle::tuple);
  writer.opcode_little<8>(pickle::bin_bytes8, size);
}

}  // namespace gangway::detail
