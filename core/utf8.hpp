// UTF-8 as every text on the wire must be: RFC 3629, so neither overlong forms nor
// surrogates nor anything above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gangway::detail {

[[nodiscard]] inline bool is_ascii_word(const char* eight_bytes) noexcept {
  std::uint64_t word;
  std::memcpy(&word, eight_bytes, 8);
  return (word & 0x8080'8080'8080'8080U) == 0;
}

[[nodiscard]] std::size_t find_bad_utf8_slowly(std::string_view text) noexcept;

/// The offset of the first byte that is wrong, or text.size() when all is well.
[[nodiscard]] inline std::size_t find_bad_utf8(std::string_view text) noexcept {
  // Most texts are short and ASCII: keys of dicts. Their ends overlap in the middle.
  const std::size_t size = text.size();
  if (size >= 8) {
    if (size <= 16 && is_ascii_word(text.data()) && is_ascii_word(text.data() + size - 8)) return size;
  } else if (size >= 4) {
    std::uint32_t words[2];
    std::memcpy(&words[0], text.data(), 4);
    std::memcpy(&words[1], text.data() + size - 4, 4);
    if (((words[0] | words[1]) & 0x8080'8080U) == 0) return size;
  } else {
    if (size == 0 || ((text[0] | text[size / 2] | text[size - 1]) & 0x80) == 0) return size;
  }
  return find_bad_utf8_slowly(text);
}

[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept { return find_bad_utf8(text) == text.size(); }

}  // namespace gangway::detail
