#include "core/escape.hpp"

#include <cstddef>

#include "core/utf8.hpp"

namespace gangway::detail {

namespace {

/// The length of the character at the start of valid UTF-8.
std::size_t character_length(std::string_view valid) {
  const auto first = static_cast<unsigned char>(valid[0]);
  if (first < 0x80) return 1;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/// C0, DEL and C1 (U+0080 to U+009F, where U+009B starts an escape sequence on its own).
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

void append_escaped(std::string& out, std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
}

}  // namespace

std::string escape_for_display(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view valid = text.substr(0, find_bad_utf8(text));
    std::size_t clean = 0;  // what lies between here and `at` goes out as it is
    for (std::size_t at = 0; at < valid.size();) {
      const std::string_view character = valid.substr(at, character_length(valid.substr(at)));
      at += character.size();
      if (!is_control(character)) continue;
      out.append(valid.substr(clean, at - character.size() - clean));
      append_escaped(out, character);
      clean = at;
    }
    out.append(valid.substr(clean));
    text.remove_prefix(valid.size());
    if (text.empty()) break;
    append_escaped(out, text.substr(0, 1));
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace gangway::detail
