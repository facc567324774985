#include "channels/frame_text.hpp"

#include "core/utf8.hpp"

namespace gangway::detail {

namespace {

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

std::string_view beginning_of(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  text = text.substr(0, most);
  std::size_t end = text.size();
  while (end > 0 && continues_character(text[end - 1])) --end;
  if (end > 0 && !is_utf8(text.substr(end - 1))) return text.substr(0, end - 1);
  return text;
}

std::string_view end_of(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  text = text.substr(text.size() - most);
  while (!text.empty() && continues_character(text.front())) text.remove_prefix(1);
  return text;
}

std::string with_question_marks(std::string_view text) {
  std::string result(text);
  for (std::size_t at = 0; (at += find_bad_utf8(std::string_view(result).substr(at))) < result.size();)
    result[at] = '?';
  return result;
}

}  // namespace gangway::detail
