#include "core/escape.hpp"

#include <gtest/gtest.h>

namespace gangway::detail {
namespace {

using namespace std::string_literals;

TEST(EscapeForDisplay, keeps_text_and_shows_the_bytes_of_everything_else) {
  const struct {
    const char* what;
    std::string text;
    std::string shown;
  } cases[] = {
      {"nothing", "", ""},
      {"plain text", "plain ~ \\ text", "plain ~ \\ text"},
      {"newline and tab", "a\n\tb", "a\n\tb"},
      {"a carriage return would overwrite the line", "a\rb", "a\\x0db"},
      {"an escape sequence", "\x1b[31mred", "\\x1b[31mred"},
      {"nul", "a\0b"s, "a\\x00b"},
      {"delete", "\x7f", "\\x7f"},
      {"other scripts", "zażółć 日本 🚢", "zażółć 日本 🚢"},
      {"a C1 control that some terminals take for ESC [", "\xc2\x9b;m", "\\xc2\\x9b;m"},
      {"the last C1 control", "\xc2\x9f", "\\xc2\\x9f"},
      {"what follows it", "\xc2\xa0", "\xc2\xa0"},
      {"a stray continuation byte", "a\x80z", "a\\x80z"},
      {"cut off at the end", "a\xe2\x82", "a\\xe2\\x82"},
      {"cut off before text", "\xe2\x82z", "\\xe2\\x82z"},
      {"cut off before a control", "\xe2\x1b", "\\xe2\\x1b"},
      {"an overlong slash", "\xc0\xaf", "\\xc0\\xaf"},
      {"overlong in three bytes", "\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
      {"overlong in four bytes", "\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
      {"a surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80"},
      {"the last before the surrogates", "\xed\x9f\xbf", "\xed\x9f\xbf"},
      {"the last code point", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
      {"beyond the last", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
      {"no such byte", "\xff", "\\xff"},
  };
  for (const auto& [what, text, shown] : cases) EXPECT_EQ(escape_for_display(text), shown) << what;
}

TEST(EscapeForDisplay, leaves_no_control_byte_for_any_byte) {
  for (int byte = 0; byte < 256; ++byte) {
    for (const char shown : escape_for_display(std::string(1, static_cast<char>(byte)))) {
      EXPECT_TRUE(shown == '\n' || shown == '\t' || (shown >= 0x20 && shown < 0x7f)) << byte;
    }
  }
}

TEST(EscapeForDisplay, changes_nothing_the_second_time) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string once = escape_for_display(all);
  EXPECT_EQ(escape_for_display(once), once);
}

}  // namespace
}  // namespace gangway::detail
