// BigInt: an integer of any size, as Python has them.
//
// It carries numbers from one side to the other and compares them; it does not calculate.
// The bytes are what the wire has: little-endian two's complement, as few as possible
// (none for 0). Numbers of 64 bits need no BigInt: a Value keeps those in an int64.
//
// Threads: like std::vector.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <gangway/bytes.hpp>

namespace gangway {

class BigInt {
 public:
  BigInt() noexcept = default;  // 0
  explicit BigInt(std::int64_t value);
  explicit BigInt(std::uint64_t value);

  /// Two's complement, little endian, of any length; superfluous bytes are dropped.
  [[nodiscard]] static BigInt from_bytes(std::span<const std::byte> little_endian);
  /// Digits with an optional sign. Throws Error (errc::bad_cast) for anything else. A
  /// million digits take 0.1 s.
  [[nodiscard]] static BigInt from_decimal(std::string_view digits);

  /// As few bytes as possible, the top bit of the last is the sign; empty for 0.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_.span(); }
  [[nodiscard]] bool negative() const noexcept {
    return !bytes_.empty() && (bytes_[bytes_.size() - 1] & std::byte{0x80}) != std::byte{0};
  }
  [[nodiscard]] std::optional<std::int64_t> to_int64() const noexcept;
  [[nodiscard]] std::optional<std::uint64_t> to_uint64() const noexcept;
  /// Rounded to the nearest, ties to even, as Python's float(); infinite beyond the range.
  [[nodiscard]] double to_double() const noexcept;
  /// Takes time in proportion to the square of the length, as in Python: 0.1 s for 100,000
  /// digits, 8 s for a million.
  [[nodiscard]] std::string to_decimal() const;

  friend bool operator==(const BigInt& a, const BigInt& b) noexcept { return a.bytes_ == b.bytes_; }
  friend std::strong_ordering operator<=>(const BigInt& a, const BigInt& b) noexcept;
  /// Exact, without rounding either side; a NaN equals nothing.
  friend bool operator==(const BigInt& a, double b) noexcept;

 private:
  Bytes bytes_;
};

}  // namespace gangway
