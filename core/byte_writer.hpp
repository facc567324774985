// Appends to a Bytes with one comparison per write.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include <gangway/bytes.hpp>

namespace gangway::detail {

/// memcpy without a call for what is short, as most texts are.
inline void copy_run(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  if (size > 16) {
    std::memcpy(to, from, size);
  } else if (size >= 8) {
    std::uint64_t ends[2];  // they overlap
    std::memcpy(&ends[0], from, 8);
    std::memcpy(&ends[1], from + size - 8, 8);
    std::memcpy(to, &ends[0], 8);
    std::memcpy(to + size - 8, &ends[1], 8);
  } else {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  }
}

class ByteWriter {
 public:
  /// `out` has no meaningful size until finish().
  explicit ByteWriter(Bytes& out) : out_(out), at_(out.data() + out.size()), end_(at_) {}

  /// Room for `count` bytes, which the caller then writes, and says so with wrote().
  [[nodiscard]] std::byte* room(std::size_t count) {
    if (static_cast<std::size_t>(end_ - at_) < count) grow(count);
    return at_;
  }
  void wrote(std::size_t count) { at_ += count; }

  void byte(std::uint8_t value) {
    *room(1) = std::byte{value};
    ++at_;
  }
  void bytes(std::span<const std::byte> from) {
    if (from.empty()) return;
    std::memcpy(room(from.size()), from.data(), from.size());
    at_ += from.size();
  }

  /// The opcode, and an unsigned number of `Size` bytes, little endian.
  template <std::size_t Size>
  void opcode_little(std::uint8_t opcode, std::uint64_t number) {
    std::byte* at = room(1 + Size);
    at[0] = std::byte{opcode};
    for (std::size_t i = 0; i < Size; ++i) at[1 + i] = static_cast<std::byte>(number >> (8 * i));
    at_ += 1 + Size;
  }
  template <std::size_t Size>
  void opcode_big(std::uint8_t opcode, std::uint64_t number) {
    std::byte* at = room(1 + Size);
    at[0] = std::byte{opcode};
    for (std::size_t i = 0; i < Size; ++i) at[1 + i] = static_cast<std::byte>(number >> (8 * (Size - 1 - i)));
    at_ += 1 + Size;
  }

  void finish() { out_.resize_uninitialized(static_cast<std::size_t>(at_ - out_.data())); }

 private:
  void grow(std::size_t count) {
    const auto size = static_cast<std::size_t>(at_ - out_.data());
    out_.resize_uninitialized(size + std::max<std::size_t>(count, 256));
    out_.resize_uninitialized(out_.capacity());
    at_ = out_.data() + size;
    end_ = out_.data() + out_.size();
  }

  Bytes& out_;
  std::byte* at_;
  std::byte* end_;
};

}  // namespace gangway::detail
