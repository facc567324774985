// The opcodes of execnet's dump format. Numbers are big endian, lengths have 4 bytes and
// a sign.
#pragma once

#include <cstdint>

namespace gangway::detail::dump_format {

inline constexpr std::uint8_t version = 0x02, stop = 'Q';
inline constexpr std::uint8_t none = 'L', true_ = 'R', false_ = 'C';
inline constexpr std::uint8_t int4 = 'F', decimal = 'H', float8 = 'D', complex = 'T';
inline constexpr std::uint8_t str = 'N', bytes = 'A';
inline constexpr std::uint8_t new_list = 'K', new_dict = 'J', store = 'P';
inline constexpr std::uint8_t tuple = '@', set = 'O', frozenset = 'E', channel = 'B';

// Read, never written: the long, str and unicode of Python 2.
inline constexpr std::uint8_t py2_int4 = 'G', py2_decimal = 'I', py2_str = 'M', py2_unicode = 'S';

inline constexpr std::uint64_t most = 0x7fff'ffff;  // bytes, elements

}  // namespace gangway::detail::dump_format
