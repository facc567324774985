#include "gateways/dedent.hpp"

#include <gtest/gtest.h>

namespace gangway::detail {
namespace {

// What textwrap.dedent of CPython 3.11 made of each.
constexpr struct {
  std::string_view text;
  std::string_view dedented;
} table[] = {
    {"", ""},
    {"\n", "\n"},
    {"  \n", "\n"},
    {"   ", ""},
    {"\n\n\n", "\n\n\n"},
    {"a", "a"},
    {"  a", "a"},
    {"  a\n  b\n", "a\nb\n"},
    {"\n  a\n    b\n", "\na\n  b\n"},
    {"    a\n  b\n      c", "  a\nb\n    c"},
    {"  a\n\n  b", "a\n\nb"},
    {"  a\n \t \n  b\n", "a\n\nb\n"},
    {"  a\n   ", "a\n"},
    {"\ta\n\tb", "a\nb"},
    {"\ta\n  b", "\ta\n  b"},
    {"  x\n\ty\n", "  x\n\ty\n"},
    {"  \ta\n  b", "\ta\nb"},
    {"\r\n  a\r\n  b\r\n", "\r\n  a\r\n  b\r\n"},
    {"  a\n\f\n  b", "  a\n\f\n  b"},
    {"  \"\"\"x\n  y\n  \"\"\"\n", "\"\"\"x\ny\n\"\"\"\n"},
    {"  a\\\n  b", "a\\\nb"},
    {"  \u00e4\n  \u00df", "\u00e4\n\u00df"},
};

TEST(Dedent, does_what_python_does) {
  for (const auto& row : table) EXPECT_EQ(dedent(row.text), row.dedented) << "of \"" << row.text << '"';
}

TEST(Dedent, of_what_is_dedented_changes_nothing) {
  for (const auto& row : table) EXPECT_EQ(dedent(row.dedented), row.dedented);
}

}  // namespace
}  // namespace gangway::detail
