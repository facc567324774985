#include <gangway/big_int.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include <gangway/error.hpp>

#include "tests/support/hex.hpp"

namespace gangway {
namespace {

using gangway::testing::hex;

struct Row {
  const char* decimal;
  const char* bytes;  // little-endian two's complement
};

constexpr Row rows[] = {
    {"0", ""},
    {"1", "01"},
    {"-1", "ff"},
    {"127", "7f"},
    {"128", "80 00"},
    {"-128", "80"},
    {"-129", "7f ff"},
    {"255", "ff 00"},
    {"-256", "00 ff"},
    {"9223372036854775807", "ff ff ff ff ff ff ff 7f"},
    {"9223372036854775808", "00 00 00 00 00 00 00 80 00"},
    {"-9223372036854775808", "00 00 00 00 00 00 00 80"},
    {"-9223372036854775809", "ff ff ff ff ff ff ff 7f ff"},
    {"18446744073709551615", "ff ff ff ff ff ff ff ff 00"},
    {"18446744073709551616", "00 00 00 00 00 00 00 00 01"},
    {"1000000000000000000000000000000", "00 00 00 40 ea ed 74 46 d0 9c 2c 9f 0c"},
    {"-1000000000000000000000000000000", "00 00 00 c0 15 12 8b b9 2f 63 d3 60 f3"},
};

TEST(BigInt, decimal_digits_and_bytes_say_the_same) {
  for (const Row& row : rows) {
    const BigInt number = BigInt::from_decimal(row.decimal);
    EXPECT_EQ(Bytes(number.bytes()), hex(row.bytes)) << row.decimal;
    EXPECT_EQ(BigInt::from_bytes(hex(row.bytes)).to_decimal(), row.decimal);
    EXPECT_EQ(number.negative(), *row.decimal == '-');
  }
}

TEST(BigInt, superfluous_bytes_are_dropped) {
  EXPECT_EQ(Bytes(BigInt::from_bytes(hex("00 00")).bytes()), hex(""));
  EXPECT_EQ(Bytes(BigInt::from_bytes(hex("05 00 00")).bytes()), hex("05"));
  EXPECT_EQ(Bytes(BigInt::from_bytes(hex("80 00 00")).bytes()), hex("80 00"));
  EXPECT_EQ(Bytes(BigInt::from_bytes(hex("ff ff ff")).bytes()), hex("ff"));
  EXPECT_EQ(Bytes(BigInt::from_bytes(hex("7f ff ff")).bytes()), hex("7f ff"));
}

TEST(BigInt, converts_to_machine_integers_when_it_fits) {
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  constexpr auto unsigned_most = std::numeric_limits<std::uint64_t>::max();
  for (const std::int64_t value : {least, least + 1, std::int64_t{-1}, std::int64_t{0}, std::int64_t{200}, most}) {
    EXPECT_EQ(BigInt(value).to_int64(), value);
    EXPECT_EQ(BigInt(value).to_decimal(), std::to_string(value));
  }
  EXPECT_EQ(BigInt(unsigned_most).to_uint64(), unsigned_most);
  EXPECT_EQ(BigInt(unsigned_most).to_int64(), std::nullopt);
  EXPECT_EQ(BigInt(std::int64_t{-1}).to_uint64(), std::nullopt);
  EXPECT_EQ(BigInt::from_decimal("18446744073709551616").to_uint64(), std::nullopt);
  EXPECT_EQ(BigInt::from_decimal("-9223372036854775809").to_int64(), std::nullopt);
}

TEST(BigInt, is_ordered_like_the_numbers) {
  const char* const ascending[] = {"-1000000000000000000000000000000",
                                   "-18446744073709551617",
                                   "-18446744073709551616",
                                   "-257",
                                   "-1",
                                   "0",
                                   "1",
                                   "256",
                                   "18446744073709551615",
                                   "18446744073709551616",
                                   "1000000000000000000000000000000"};
  for (std::size_t i = 0; i < std::size(ascending); ++i) {
    for (std::size_t j = 0; j < std::size(ascending); ++j) {
      const BigInt a = BigInt::from_decimal(ascending[i]);
      const BigInt b = BigInt::from_decimal(ascending[j]);
      EXPECT_EQ(a <=> b, i <=> j) << ascending[i] << " " << ascending[j];
      EXPECT_EQ(a == b, i == j);
    }
  }
}

TEST(BigInt, equals_a_double_only_exactly) {
  EXPECT_TRUE(BigInt::from_decimal("18446744073709551616") == 0x1p64);
  EXPECT_FALSE(BigInt::from_decimal("18446744073709551617") == 0x1p64);
  EXPECT_FALSE(BigInt::from_decimal("18446744073709551615") == 0x1p64);
  EXPECT_TRUE(BigInt::from_decimal("-18446744073709551616") == -0x1p64);
  EXPECT_TRUE(BigInt(std::int64_t{5}) == 5.0);
  EXPECT_FALSE(BigInt(std::int64_t{5}) == 5.5);
  EXPECT_FALSE(BigInt(std::int64_t{5}) == std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(BigInt::from_decimal("1" + std::string(400, '0')) == std::numeric_limits<double>::infinity());
}

TEST(BigInt, rounds_to_the_nearest_double_and_ties_to_even) {
  const struct {
    const char* decimal;
    double rounded;
  } cases[] = {
      {"18446744073709551616", 0x1p64},
      {"18446744073709553664", 0x1p64},                // 2^64 + 2048, a tie: to even
      {"18446744073709553665", 0x1.0000000000001p64},  // one more
      {"18446744073709557760", 0x1.0000000000002p64},  // 2^64 + 6144, a tie: to even
      {"-18446744073709553665", -0x1.0000000000001p64},
      {"295147905179352858624", 0x1p68},  // 2^68 + 32768, a tie across a byte
      {"1000000000000000000000000000000", 1e30},
  };
  for (const auto& test : cases)
    EXPECT_EQ(BigInt::from_decimal(test.decimal).to_double(), test.rounded) << test.decimal;
  EXPECT_EQ(BigInt::from_decimal("1" + std::string(308, '0')).to_double(), 1e308);
  EXPECT_TRUE(std::isinf(BigInt::from_decimal("1" + std::string(309, '0')).to_double()));
  EXPECT_TRUE(std::isinf(BigInt::from_decimal("-1" + std::string(5000, '0')).to_double()));
}

TEST(BigInt, what_is_not_a_number_is_refused) {
  for (const char* const text : {"", "-", "+", " 1", "1 ", "1_000", "0x10", "--1", "1.0", "\xd9\xa1"}) {
    EXPECT_THROW((void)BigInt::from_decimal(text), Error) << text;
  }
  EXPECT_EQ(BigInt::from_decimal("+007").to_decimal(), "7");
}

TEST(BigInt, thousands_of_digits_survive) {
  std::string digits = "9";
  for (int i = 1; i < 5000; ++i) digits += static_cast<char>('0' + i * i % 10);
  EXPECT_EQ(BigInt::from_decimal(digits).to_decimal(), digits);
  EXPECT_EQ(BigInt::from_decimal("-" + digits).to_decimal(), "-" + digits);
}

}  // namespace
}  // namespace gangway
