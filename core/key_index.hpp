// Where in a Dict or Set a key is: a hash table of positions, and the hash of values.
//
// The hash is seeded once per process, so that a peer cannot choose keys that collide.
// Equal numbers of different kinds have the same hash; every NaN has another one, because
// it equals nothing and a million of them must not share a chain.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <gangway/value.hpp>

namespace gangway::detail {

// hash_value(const Value&) is declared in value.hpp.
[[nodiscard]] std::uint64_t hash_text(std::string_view text) noexcept;
/// What a member adds to the hash of its set, in any order.
[[nodiscard]] std::uint64_t hash_of_member(std::uint64_t hash) noexcept;

/// Below this many plain keys, comparing with each is faster than hashing.
inline constexpr std::size_t keys_without_index = 8;

/// Tuples and frozensets always get an index: comparing them with each other without their
/// hashes takes time in proportion to the square of their size.
[[nodiscard]] inline bool needs_hash(const Value& key) noexcept { return key.is_tuple() || key.is_frozenset(); }

class KeyIndex {
 public:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  /// `equal(position)` says whether the key at a position is the one that is looked for.
  template <class Equal>
  [[nodiscard]] std::size_t find(std::uint64_t hash, Equal&& equal) const {
    if (slots_.empty()) return none;
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.position == 0) return none;
      if (slot.hash == static_cast<std::uint32_t>(hash) && equal(std::size_t{slot.position} - 1)) {
        return slot.position - 1;
      }
    }
  }

  /// Room for `size` keys in all; insert does not throw below that.
  void reserve(std::size_t size);
  void insert(std::uint64_t hash, std::size_t position) noexcept;
  /// The sum of hash_of_member over all keys.
  [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t position = 0;  // plus 1; 0 is free
  };
  void place(Slot slot) noexcept;

  std::vector<Slot> slots_;  // a power of 2, at most two thirds used
  std::uint64_t sum_ = 0;
};

}  // namespace gangway::detail
