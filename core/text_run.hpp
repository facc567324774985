// What is done to short texts all the time, without a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gangway::detail {

/// Tells the keys of a record from each other, not all texts.
[[nodiscard]] inline std::uint32_t cheap_hash(std::string_view text) noexcept {
  const std::size_t size = text.size();
  std::uint32_t ends[2] = {0, 0};  // they overlap
  if (size >= 4) {
    std::memcpy(&ends[0], text.data(), 4);
    std::memcpy(&ends[1], text.data() + size - 4, 4);
  } else if (size > 0) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    ends[0] = byte(0) + (byte(size / 2) << 8U) + (byte(size - 1) << 16U);
  }
  const std::uint64_t mixed = (ends[0] + (std::uint64_t{ends[1]} << 32U) + size) * 0x9e37'79b9'7f4a'7c15U;
  return static_cast<std::uint32_t>(mixed >> 32U);
}

/// memcmp of equal sizes without a call for what is short.
[[nodiscard]] inline bool same_run(const char* a, const char* b, std::size_t size) noexcept {
  if (size > 16) return std::memcmp(a, b, size) == 0;
  if (size >= 8) {
    std::uint64_t ends[4];  // they overlap
    std::memcpy(&ends[0], a, 8);
    std::memcpy(&ends[1], b, 8);
    std::memcpy(&ends[2], a + size - 8, 8);
    std::memcpy(&ends[3], b + size - 8, 8);
    return ends[0] == ends[1] && ends[2] == ends[3];
  }
  for (std::size_t i = 0; i < size; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

}  // namespace gangway::detail
