#include "core/utf8.hpp"

namespace gangway::detail {

namespace {

bool continues(unsigned char byte) { return (byte & 0xc0U) == 0x80; }

// The length of the sequence that starts at `at`, 0 when it is wrong. Unicode 15, table 3-7.
std::size_t sequence(const unsigned char* at, std::size_t left) {
  const unsigned char lead = at[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return left >= 2 && continues(at[1]) ? 2 : 0;
  if (lead < 0xf0) {
    if (left < 3 || !continues(at[1]) || !continues(at[2])) return 0;
    if (lead == 0xe0 && at[1] < 0xa0) return 0;   // overlong
    if (lead == 0xed && at[1] >= 0xa0) return 0;  // surrogates
    return 3;
  }
  if (lead > 0xf4 || left < 4 || !continues(at[1]) || !continues(at[2]) || !continues(at[3])) return 0;
  if (lead == 0xf0 && at[1] < 0x90) return 0;   // overlong
  if (lead == 0xf4 && at[1] >= 0x90) return 0;  // above U+10FFFF
  return 4;
}

}  // namespace

std::size_t find_bad_utf8_slowly(std::string_view text) noexcept {
  const auto* const begin = reinterpret_cast<const unsigned char*>(text.data());
  const std::size_t size = text.size();
  std::size_t at = 0;
  while (at < size) {
    while (size - at >= 8 && is_ascii_word(text.data() + at)) at += 8;
    // Up to 8 characters one by one, or all that are not ASCII.
    for (int i = 0; at < size && (i < 8 || begin[at] >= 0x80); ++i) {
      const std::size_t length = sequence(begin + at, size - at);
      if (length == 0) return at;
      at += length;
    }
  }
  return size;
}

}  // namespace gangway::detail
