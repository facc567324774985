// Which short texts of an item an encoder may write by number: the keys of a list of dicts
// are written twice, whatever comes after that is two bytes (spec-docs/items.md, "Memo").
//
// A table without chains, one per stream. A text gets a number when it comes again, so that
// those that differ take none; it keeps its place then, so that there are never more numbers
// than places. The nodes must outlive the table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <gangway/limits.hpp>

#include "core/item_walker.hpp"

namespace gangway::detail {

template <ItemWalker W>
class TextMemo {
 public:
  enum class Found : std::uint8_t {
    no,      // write it
    once,    // write it, and number it: number() is its number from now on
    number,  // write number()
  };

  [[nodiscard, gnu::always_inline]] Found find(const W& walker, typename W::Node node) {
    const std::uint32_t hash = walker.str_hash(node);
    const std::size_t at = hash % places;
    const std::uint32_t tag = (hash & ~numbered) | taken;
    const std::uint32_t there = tags_[at];
    if ((there & ~numbered) == tag && walker.same_str(nodes_[at], node)) {
      place_ = at;
      return (there & numbered) != 0 ? Found::number : Found::once;
    }
    if ((there & numbered) == 0) {
      tags_[at] = tag;
      nodes_[at] = node;
    }
    return Found::no;
  }

  /// Of what find() found.
  void give_number() {
    tags_[place_] |= numbered;
    numbers_[place_] = next_++;
  }
  [[nodiscard]] std::uint8_t number() const { return numbers_[place_]; }

 private:
  static constexpr std::size_t places = 128;  // to clear them takes 10 ns for each item
  static_assert(places <= limits::memo_texts);

  // A tag is a hash in which two bits have another meaning; 0 when the place is free.
  static constexpr std::uint32_t taken = 0x8000'0000;
  static constexpr std::uint32_t numbered = 0x4000'0000;

  std::array<std::uint32_t, places> tags_{};
  std::array<typename W::Node, places> nodes_;
  std::array<std::uint8_t, places> numbers_;
  std::size_t place_ = 0;
  std::uint8_t next_ = 0;
};

}  // namespace gangway::detail
