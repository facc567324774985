#include <gangway/big_int.hpp>

#include <boost/multiprecision/cpp_int.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gangway/error.hpp>

namespace gangway {

namespace {

using Number = boost::multiprecision::cpp_int;

std::uint64_t little_endian_64(std::span<const std::byte> bytes, std::uint64_t fill) {
  std::uint64_t value = fill;
  for (std::size_t i = 0; i < 8 && i < bytes.size(); ++i) {
    value &= ~(std::uint64_t{0xff} << (8 * i));
    value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  }
  return value;
}

std::array<std::byte, 9> to_nine_bytes(std::uint64_t value, bool negative) {
  std::array<std::byte, 9> bytes{};
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  bytes[8] = negative ? std::byte{0xff} : std::byte{0};
  return bytes;
}

// The absolute value, little endian; a copy only for negative numbers.
std::vector<std::uint8_t> magnitude(const BigInt& number) {
  const auto bytes = number.bytes();
  std::vector<std::uint8_t> result(bytes.size());
  const bool negative = number.negative();
  unsigned carry = negative ? 1 : 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned byte = std::to_integer<unsigned>(bytes[i]);
    const unsigned sum = (negative ? (~byte & 0xffU) : byte) + carry;
    result[i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
  }
  return result;
}

Number to_number(const BigInt& number) {
  const auto bytes = magnitude(number);
  Number result;
  import_bits(result, bytes.begin(), bytes.end(), 8, false);
  return number.negative() ? Number(-result) : result;
}

BigInt from_number(const Number& number) {
  const bool negative = number < 0;
  std::vector<std::uint8_t> bytes;
  // -n is ~(n - 1) in two's complement.
  export_bits(negative ? Number(-number - 1) : number, std::back_inserter(bytes), 8, false);
  bytes.push_back(0);
  if (negative) {
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(~byte);
  }
  return BigInt::from_bytes(std::as_bytes(std::span(bytes)));
}

// Halves, so that the work is done by multiplications of large numbers, which are faster
// than quadratic: `powers[i]` is 10^(block << i).
constexpr std::size_t digits_of_a_block = 18;

Number parse_digits(std::string_view digits, std::vector<Number>& powers) {
  if (digits.size() <= digits_of_a_block) {
    std::uint64_t value = 0;
    for (const char digit : digits) value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    return value;
  }
  const std::size_t level = std::bit_width((digits.size() - 1) / digits_of_a_block) - 1;
  while (powers.size() <= level) powers.push_back(powers.back() * powers.back());
  const std::size_t low = digits_of_a_block << level;
  const Number high = parse_digits(digits.substr(0, digits.size() - low), powers);
  return high * powers[level] + parse_digits(digits.substr(digits.size() - low), powers);
}

}  // namespace

BigInt::BigInt(std::int64_t value) : BigInt(from_bytes(to_nine_bytes(static_cast<std::uint64_t>(value), value < 0))) {}

BigInt::BigInt(std::uint64_t value) : BigInt(from_bytes(to_nine_bytes(value, false))) {}

BigInt BigInt::from_bytes(std::span<const std::byte> little_endian) {
  while (!little_endian.empty()) {
    const std::byte last = little_endian.back();
    const bool sign_before =
        little_endian.size() > 1 && (little_endian[little_endian.size() - 2] & std::byte{0x80}) != std::byte{0};
    if (!(last == std::byte{0} && !sign_before) && !(last == std::byte{0xff} && sign_before)) break;
    little_endian = little_endian.first(little_endian.size() - 1);
  }
  BigInt result;
  result.bytes_ = Bytes(little_endian);
  return result;
}

BigInt BigInt::from_decimal(std::string_view digits) {
  std::string_view rest = digits;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  const auto bad = rest.find_first_not_of("0123456789");
  if (rest.empty() || bad != std::string_view::npos) {
    throw Error(errc::bad_cast, "not a decimal integer: '" + std::string(digits.substr(0, 40)) + "'");
  }
  std::vector<Number> powers{Number(1'000'000'000'000'000'000)};
  const Number number = parse_digits(rest, powers);
  return from_number(negative ? Number(-number) : number);
}

std::optional<std::int64_t> BigInt::to_int64() const noexcept {
  if (bytes_.size() > 8) return std::nullopt;
  return static_cast<std::int64_t>(little_endian_64(bytes(), negative() ? ~std::uint64_t{0} : 0));
}

std::optional<std::uint64_t> BigInt::to_uint64() const noexcept {
  if (negative() || bytes_.size() > 9 || (bytes_.size() == 9 && bytes_[8] != std::byte{0})) return std::nullopt;
  return little_endian_64(bytes(), 0);
}

double BigInt::to_double() const noexcept {
  if (const auto small = to_int64()) return static_cast<double>(*small);
  const std::size_t size = bytes_.size();
  if (size > 130) {  // over 2^1031
    return negative() ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  // The magnitude, from the top: 64 bits, and whether anything follows them.
  std::array<std::uint8_t, 136> bytes{};
  unsigned carry = negative() ? 1 : 0;
  for (std::size_t i = 0; i < size; ++i) {
    const unsigned byte = std::to_integer<unsigned>(bytes_[i]);
    const unsigned sum = (negative() ? (~byte & 0xffU) : byte) + carry;
    bytes[i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
  }
  std::size_t top = size;
  while (bytes[top - 1] == 0) --top;
  std::uint64_t head = 0;
  for (std::size_t i = 0; i < 8; ++i) head = head << 8 | bytes[top - 1 - i];
  const unsigned next = top > 8 ? bytes[top - 9] : 0U;
  const int zeros = std::countl_zero(head);
  if (zeros != 0) head = head << zeros | next >> (8 - zeros);
  bool rest = (next << zeros & 0xffU) != 0;
  for (std::size_t i = 0; i + 9 < top; ++i) rest = rest || bytes[i] != 0;
  // 64 bits round to 53; a sticky last bit stands for all that was cut off.
  if (rest) head |= 1;
  const double result = std::ldexp(static_cast<double>(head), static_cast<int>(8 * (top - 8)) - zeros);
  return negative() ? -result : result;
}

std::string BigInt::to_decimal() const {
  if (const auto small = to_int64()) return std::to_string(*small);
  return to_number(*this).str();
}

std::strong_ordering operator<=>(const BigInt& a, const BigInt& b) noexcept {
  if (a.negative() != b.negative()) {
    return a.negative() ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  const auto left = a.bytes();
  const auto right = b.bytes();
  if (left.size() != right.size()) {
    return a.negative() ? right.size() <=> left.size() : left.size() <=> right.size();
  }
  // Of the same sign and length, two's complement compares like unsigned numbers.
  for (std::size_t i = left.size(); i-- > 0;) {
    if (left[i] != right[i]) return left[i] <=> right[i];
  }
  return std::strong_ordering::equal;
}

bool operator==(const BigInt& a, double b) noexcept {
  if (!std::isfinite(b) || std::trunc(b) != b || a.to_double() != b) return false;
  if (const auto small = a.to_int64()) {
    return b >= -0x1p63 && b < 0x1p63 && static_cast<std::int64_t>(b) == *small;
  }
  // Equal after rounding; exact when the bits below the 53 of a double are zero.
  int exponent = 0;
  (void)std::frexp(b, &exponent);
  const int low_bits = exponent - 53;
  for (int bit = 0; bit < low_bits; ++bit) {
    const auto byte = std::to_integer<unsigned>(a.bytes_[static_cast<std::size_t>(bit / 8)]);
    if ((byte >> (bit % 8) & 1U) != 0) return false;
  }
  return true;
}

}  // namespace gangway
