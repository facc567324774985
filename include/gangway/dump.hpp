// dumps and loads: execnet's portable storage format, byte for byte (version 2).
//
// For files and for other programs that read it; channels use another format. One
// document holds one value. Channels cannot be stored.
//
// Threads: no state. Streams are used during the call only.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <span>

#include <gangway/bytes.hpp>
#include <gangway/error.hpp>
#include <gangway/value.hpp>

namespace gangway {

/// How texts of Python 2 and of Python 3 are read.
struct LoadOptions {
  /// A Python 2 str becomes a str (each byte the character of that number, latin-1), not bytes.
  bool py2str_as_py3str = false;
  /// A Python 3 str becomes bytes: its UTF-8.
  bool py3str_as_py2str = false;
};

// Documents written by any known program are nested less than 400 deep. Values are
// destroyed by recursion: 10,000 levels take some 2 MiB of stack.
inline constexpr std::size_t dump_nesting_depth = 10'000;
// A list may be stored with gaps, which load as None: so many in a document, beyond one
// for each byte of it. Without a bound, 7 bytes would ask for 2^31 of them.
inline constexpr std::size_t dump_gaps = 64 * 1024;

/// Throws DumpError: channels, text that is not UTF-8, 2^31 elements or bytes and more.
[[nodiscard]] Bytes dumps(const Value& value);
/// Ignores what follows the document. Throws LoadError, with the offset in its text; the
/// code is errc::end_of_channel when the input ends where an opcode is due (Python:
/// EOFError) and errc::bad_item, bad_text or too_deep otherwise.
[[nodiscard]] Value loads(std::span<const std::byte> document, LoadOptions options = {});

/// Writes one document. A stream that fails sets its own state.
void dump(std::ostream& out, const Value& value);
/// Reads exactly one document, so that it can be called again on the same stream.
[[nodiscard]] Value load(std::istream& in, LoadOptions options = {});

}  // namespace gangway
