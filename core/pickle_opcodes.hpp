// The opcodes of the pickle subset: spec-docs/items.md.
#pragma once

#include <cstdint>

namespace gangway::detail::pickle {

inline constexpr std::uint8_t proto = 0x80, frame = 0x95, stop = '.';
inline constexpr std::uint8_t none = 'N', new_true = 0x88, new_false = 0x89;
inline constexpr std::uint8_t bin_int1 = 'K', bin_int2 = 'M', bin_int = 'J', long1 = 0x8a, long4 = 0x8b;
inline constexpr std::uint8_t bin_float = 'G';
inline constexpr std::uint8_t short_bin_unicode = 0x8c, bin_unicode = 'X', bin_unicode8 = 0x8d;
inline constexpr std::uint8_t short_bin_bytes = 'C', bin_bytes = 'B', bin_bytes8 = 0x8e;
inline constexpr std::uint8_t mark = '(';
inline constexpr std::uint8_t empty_list = ']', append = 'a', appends = 'e';
inline constexpr std::uint8_t empty_tuple = ')', tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87, tuple = 't';
inline constexpr std::uint8_t empty_dict = '}', set_item = 's', set_items = 'u';
inline constexpr std::uint8_t empty_set = 0x8f, add_items = 0x90, frozenset = 0x91;
inline constexpr std::uint8_t stack_global = 0x93, reduce = 'R';
inline constexpr std::uint8_t memoize = 0x94, bin_get = 'h';

inline constexpr std::uint8_t version = 4;

}  // namespace gangway::detail::pickle
