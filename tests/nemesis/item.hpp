// Items that say where they come from: a lane (one sender on one channel), and their number
// in it. Everything else in an item follows from these two, so that every byte of it can be
// checked. far_side.py makes and reads the same ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <gangway/value.hpp>

namespace gangway::nemesis {

/// One per way in which an item travels: each of the frame tags INT, BYTES, STR and PICKLE.
enum class Form : std::uint8_t { integer, bytes, text, structure };
inline constexpr std::size_t forms = 4;

struct Numbered {
  std::uint32_t lane = 0;
  std::uint32_t number = 0;
  friend bool operator==(const Numbered&, const Numbered&) = default;
};

/// `size` counts repetitions of some ten bytes; an integer has none.
[[nodiscard]] Value make_item(Form form, Numbered which, std::size_t size);

/// Nothing: not an item of make_item, or a damaged one.
[[nodiscard]] std::optional<Numbered> read_item(const Value& item);

}  // namespace gangway::nemesis
