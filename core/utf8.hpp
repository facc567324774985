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
  // Most texts are short and ASCII: keys of dicts.
  if (text.size() < 8) {
    unsigned all = 0;
    for (const char byte : text) all |= static_cast<unsigned char>(byte);
    if (all < 0x80) return text.size();
  } else if (text.size() <= 16) {
    if (is_ascii_word(text.data()) && is_ascii_word(text.data() + text.size() - 8)) return text.size();
  }
  return find_bad_utf8_slowly(text);
}

[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept { return find_bad_utf8(text) == text.size(); }

}  // namespace gangway::detail
