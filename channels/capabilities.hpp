// What a side says of itself in HELLO beyond its version (spec-docs/wire.md, section 3).
#pragma once

#include <algorithm>
#include <string_view>

#include <gangway/value.hpp>

namespace gangway::detail {

inline bool has_capability(const Dict& hello, std::string_view name) {
  const Value* const all = hello.find("capabilities");
  if (all == nullptr || !all->is_list()) return false;
  return std::any_of(all->as_list().begin(), all->as_list().end(),
                     [&](const Value& one) { return one.is_str() && one.as_str() == name; });
}

}  // namespace gangway::detail
