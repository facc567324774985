#include "core/key_index.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

namespace gangway::detail {

namespace {

__extension__ using Wide = unsigned __int128;

// Folded multiplication, the core of wyhash (https://github.com/wangyi-fudan/wyhash).
std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32 | device()) | 1;
}

std::uint64_t seed() noexcept {
  static const std::uint64_t value = random_seed();
  return value;
}

constexpr std::uint64_t k0 = 0xa076'1d64'78bd'642f;
constexpr std::uint64_t k1 = 0xe703'7ed1'a0b4'28db;
constexpr std::uint64_t k2 = 0x8ebc'6af0'9c88'c6e3;

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t salt) noexcept {
  std::uint64_t state = seed() ^ salt;
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 16; at += 16, left -= 16) {
    std::uint64_t words[2];
    std::memcpy(words, at, 16);
    state = mix(words[0] ^ state ^ k1, words[1] ^ seed() ^ k2);
  }
  std::uint64_t words[2] = {0, 0};
  if (left != 0) std::memcpy(words, at, left);
  return mix(mix(words[0] ^ state ^ k1, words[1] ^ seed() ^ k2) ^ k0, bytes.size() ^ state);
}

std::uint64_t hash_word(std::uint64_t word, std::uint64_t salt) noexcept {
  return mix(mix(word ^ seed(), k1 ^ salt) ^ k0, seed() ^ k2);
}

std::uint64_t hash_unequal() noexcept {
  thread_local std::uint64_t count = 0;
  return hash_word(++count, k2);
}

std::uint64_t hash_double(double value) noexcept {
  if (std::isnan(value)) return hash_unequal();
  if (value >= -0x1p63 && value < 0x1p63 && std::trunc(value) == value) {
    return hash_word(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)), 0);
  }
  return hash_word(std::bit_cast<std::uint64_t>(value), k0);
}

}  // namespace

std::uint64_t hash_text(std::string_view text) noexcept { return hash_bytes(text, 0); }

std::uint64_t hash_of_member(std::uint64_t hash) noexcept { return mix(hash ^ k0, k1 ^ seed()); }

std::uint64_t hash_value(const Value& value) {
  switch (value.kind()) {
    case Kind::none: return hash_word(0, k1);
    case Kind::boolean: return hash_word(value.as_bool() ? 1 : 0, 0);
    case Kind::integer: return hash_word(static_cast<std::uint64_t>(value.as_int()), 0);
    case Kind::floating: return hash_double(value.as_float());
    case Kind::complex: {
      const auto number = value.as_complex();
      if (number.imag() == 0) return hash_double(number.real());
      return mix(hash_double(number.real()) ^ k1, hash_double(number.imag()) ^ seed());
    }
    case Kind::big_integer: {
      const BigInt& number = value.as_big_int();
      const double rounded = number.to_double();
      if (number == rounded) return hash_double(rounded);
      const auto bytes = number.bytes();
      return hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, k2);
    }
    case Kind::str: return hash_text(value.as_str());
    case Kind::bytes: return hash_bytes(value.as_bytes().view(), k1);
    case Kind::tuple: {
      std::uint64_t state = seed() ^ value.as_tuple().size();
      for (const Value& item : value.as_tuple()) state = mix(state ^ k1, hash_value(item) ^ k2);
      return state;
    }
    case Kind::frozenset: return hash_word(value.as_frozenset().members().content_hash(), k2);
    case Kind::channel: return hash_word(value.as_channel().id, k0 ^ k1);
    case Kind::list:
    case Kind::dict:
    case Kind::set: break;  // looked for, perhaps, but never found
  }
  return 0;
}

void KeyIndex::reserve(std::size_t size) {
  if (size > std::numeric_limits<std::uint32_t>::max() / 2) throw std::length_error("too many keys");
  if (size + size / 2 < slots_.size()) return;
  std::vector<Slot> old(std::bit_ceil(size * 2 + 8));
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.position != 0) place(slot);
  }
}

void KeyIndex::insert(std::uint64_t hash, std::size_t position) noexcept {
  place({static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(position + 1)});
  sum_ += hash_of_member(hash);
}

void KeyIndex::place(Slot slot) noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = slot.hash & mask;
  while (slots_[at].position != 0) at = (at + 1) & mask;
  slots_[at] = slot;
}

void DeleteKeyIndex::operator()(KeyIndex* index) const noexcept { delete index; }

}  // namespace gangway::detail
