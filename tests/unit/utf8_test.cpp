#include "core/utf8.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/hex.hpp"

namespace gangway::detail {
namespace {

using gangway::testing::hex;

TEST(Utf8, valid_sequences_are_accepted_at_every_offset) {
  const char* const sequences[] = {
      "",         "00",       "7f",       "c2 80",       "df bf",       "e0 a0 80",    "ec bf bf",    "ed 80 80",
      "ed 9f bf", "ee 80 80", "ef bf bf", "f0 90 80 80", "f3 bf bf bf", "f4 80 80 80", "f4 8f bf bf",
  };
  for (const char* const sequence : sequences) {
    for (std::size_t before = 0; before < 20; ++before) {
      for (std::size_t after = 0; after < 20; ++after) {
        const std::string text = std::string(before, 'a') + std::string(hex(sequence).view()) + std::string(after, 'b');
        EXPECT_EQ(find_bad_utf8(text), text.size()) << sequence << " at " << before;
      }
    }
  }
}

TEST(Utf8, the_first_wrong_byte_is_found_at_every_offset) {
  const char* const sequences[] = {
      "80",          "bf",          "c0 80",    "c1 bf",       "c2",          "c2 41",       "c2 c2", "e0 80 80",
      "e0 9f bf",    "e1 80",       "e1 80 41", "e1 41 80",
      "ed a0 80",  // the first surrogate
      "ed bf bf",  // the last one
      "f0 80 80 80", "f0 8f bf bf", "f1 80 80", "f1 80 80 41", "f4 90 80 80", "f5 80 80 80", "ff",    "fe",
  };
  for (const char* const sequence : sequences) {
    for (std::size_t before = 0; before < 20; ++before) {
      for (std::size_t after = 0; after < 20; ++after) {
        const std::string text = std::string(before, 'a') + std::string(hex(sequence).view()) + std::string(after, 'b');
        EXPECT_EQ(find_bad_utf8(text), before) << sequence << " at " << before;
      }
    }
  }
}

TEST(Utf8, long_texts_of_many_scripts_are_accepted) {
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text +=
        "a\xc3\xa4"
        "bcdefgh\xe2\x82\xac\xf0\x9f\x98\x80 ij";
  EXPECT_TRUE(is_utf8(text));
  text.back() = '\x80';
  EXPECT_EQ(find_bad_utf8(text), text.size() - 1);
}

}  // namespace
}  // namespace gangway::detail
