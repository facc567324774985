// The frame header of the wire protocol (spec-docs/wire.md, section 2): kinds and layout.
// Pure functions and values; any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/item_codec.hpp"

namespace gangway::detail {

static_assert(std::endian::native == std::endian::little, "frames are read and written without swapping");

inline constexpr std::size_t frame_header_size = 8;

// Item frames: ItemKind in the low four bits, and these.
inline constexpr std::uint8_t frame_begin = 0x10;
inline constexpr std::uint8_t frame_end = 0x20;
inline constexpr std::uint8_t frame_whole = frame_begin | frame_end;

// The payload of an item's first frame that is not its last: the total size, and at least one byte.
inline constexpr std::size_t least_begin = sizeof(std::uint64_t) + 1;

// From here on unknown kinds are skipped.
inline constexpr std::uint8_t first_optional_kind = 0x80;

enum class ControlKind : std::uint8_t {
  hello = 0x40,
  terminate = 0x41,
  ping = 0x42,
  pong = 0x43,
  status = 0x44,
  status_reply = 0x45,
  credit = 0x46,
  close = 0x47,
  close_error = 0x48,
  last_message = 0x49,
  open = 0x4a,
  interrupt = 0x4b,
  reconfigure = 0x4c,
  stacks = 0x4d,
  stacks_reply = 0x4e,
  part = 0x4f,
  need = 0x80,
};

struct FrameHeader {
  std::uint8_t kind = 0;
  std::uint32_t length = 0;  // of the payload, bytes
  std::uint32_t channel = 0;

  [[nodiscard]] bool is_item() const noexcept { return kind < 0x40; }
  [[nodiscard]] bool is_optional() const noexcept { return kind >= first_optional_kind; }
  [[nodiscard]] bool begins() const noexcept { return (kind & frame_begin) != 0; }
  [[nodiscard]] bool ends() const noexcept { return (kind & frame_end) != 0; }
  [[nodiscard]] ItemKind item_kind() const noexcept { return static_cast<ItemKind>(kind & 0x0f); }
  [[nodiscard]] ControlKind control_kind() const noexcept { return static_cast<ControlKind>(kind); }
};

template <class Integer>
[[nodiscard]] inline Integer load_little(const std::byte* from) noexcept {
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class Integer>
inline void store_little(std::byte* to, Integer value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] inline FrameHeader load_header(const std::byte* from) noexcept {
  const auto word = load_little<std::uint32_t>(from);
  return {static_cast<std::uint8_t>(word), word >> 8, load_little<std::uint32_t>(from + 4)};
}

inline void store_header(std::byte* to, FrameHeader header) noexcept {
  store_little<std::uint32_t>(to, header.kind | header.length << 8);
  store_little<std::uint32_t>(to + 4, header.channel);
}

}  // namespace gangway::detail
