#include "tests/nemesis/item.hpp"

#include <charconv>
#include <cstring>
#include <string>

#include <gangway/convert.hpp>

namespace gangway::nemesis {

namespace {

std::string text_of(Numbered which) { return std::to_string(which.lane) + "." + std::to_string(which.number) + ";"; }

Value bytes_item(Numbered which, std::size_t size) {
  Bytes bytes;
  bytes.resize_uninitialized(size * sizeof which);
  for (std::size_t at = 0; at < size; ++at) std::memcpy(bytes.data() + at * sizeof which, &which, sizeof which);
  return bytes;
}

Value text_item(Numbered which, std::size_t size) {
  const std::string part = text_of(which);
  std::string text;
  text.reserve(size * part.size());
  for (std::size_t at = 0; at < size; ++at) text += part;
  return text;
}

Value structure_item(Numbered which, std::size_t size) {
  List parts;
  parts.reserve(size);
  for (std::size_t at = 0; at < size; ++at)
    parts.push_back(
        Dict{{"at", at}, {"half", which.number / 2.0}, {"text", text_of(which)}, {which.lane, Tuple{nullptr, true}}});
  return Tuple{which.lane, which.number, std::move(parts)};
}

std::optional<Numbered> read_bytes(const Value& item) {
  const Bytes& bytes = item.as_bytes();
  Numbered which;
  if (bytes.empty() || bytes.size() % sizeof which != 0) return {};
  std::memcpy(&which, bytes.data(), sizeof which);
  // Each part equals the one before it.
  if (std::memcmp(bytes.data(), bytes.data() + sizeof which, bytes.size() - sizeof which) != 0) return {};
  return which;
}

std::optional<Numbered> read_text(const Value& item) {
  const std::string& text = item.as_str();
  const char* const end = text.data() + text.size();
  Numbered which;
  const auto lane = std::from_chars(text.data(), end, which.lane);
  if (lane.ec != std::errc() || lane.ptr == end || *lane.ptr != '.') return {};
  if (std::from_chars(lane.ptr + 1, end, which.number).ec != std::errc()) return {};
  const std::size_t part = text_of(which).size();
  if (item != text_item(which, text.size() / part)) return {};
  return which;
}

std::optional<Numbered> read_structure(const Value& item) {
  const Tuple& tuple = item.as_tuple();
  if (tuple.size() != 3 || !tuple[0].is_int() || !tuple[1].is_int() || !tuple[2].is_list()) return {};
  const Numbered which{static_cast<std::uint32_t>(tuple[0].as_int()), static_cast<std::uint32_t>(tuple[1].as_int())};
  if (item != structure_item(which, tuple[2].as_list().size())) return {};
  return which;
}

}  // namespace

Value make_item(Form form, Numbered which, std::size_t size) {
  switch (form) {
    case Form::integer: return std::uint64_t{which.lane} << 32 | which.number;
    case Form::bytes: return bytes_item(which, size);
    case Form::text: return text_item(which, size);
    case Form::structure: return structure_item(which, size);
  }
  return {};
}

std::optional<Numbered> read_item(const Value& item) {
  if (item.is_int()) {
    const auto both = static_cast<std::uint64_t>(item.as_int());
    return Numbered{static_cast<std::uint32_t>(both >> 32), static_cast<std::uint32_t>(both)};
  }
  if (item.is_bytes()) return read_bytes(item);
  if (item.is_str()) return read_text(item);
  if (item.is_tuple()) return read_structure(item);
  return {};
}

}  // namespace gangway::nemesis
