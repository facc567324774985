// What the encoders (pickle_encoder.hpp, dump_encoder.hpp) walk over, and what the
// decoders (pickle_decoder.hpp, dump_decoder.hpp) build: C++ Values here, Python objects
// in the binding.
#pragma once

#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/array_header.hpp"

namespace gangway::detail {

// Kind, in its order (a ValueWalker casts), and whatever else a binding may find.
enum class NodeKind : std::uint8_t {
  none,
  boolean,
  integer,  // 64 bits
  floating,
  complex,
  str,
  bytes,
  big_integer,  // beyond 64 bits
  list,
  tuple,
  dict,
  set,
  frozenset,
  channel,
  array,  // of numbers; C++ Values have none
  other,  // not an item
};

/// Shows an encoder the parts of a value. `kind` is asked first for each node, and only
/// one of the other functions, the one that fits, before the next `kind`; what they return
/// as a view lasts until then. Any of them may throw; nothing has been sent at that time.
template <class W>
concept ItemWalker = requires(W& walker, const typename W::Node& node, typename W::Node& next,
                              typename W::Cursor& cursor) {
  requires std::copyable<typename W::Node>;   // a pointer: it does not own
  requires std::movable<typename W::Cursor>;  // a place within a container
  { walker.kind(node) } -> std::same_as<NodeKind>;
  { walker.boolean(node) } -> std::same_as<bool>;
  { walker.integer(node) } -> std::same_as<std::int64_t>;
  /// Little-endian two's complement.
  { walker.big_integer(node) } -> std::convertible_to<std::span<const std::byte>>;
  { walker.floating(node) } -> std::same_as<double>;
  { walker.complex(node) } -> std::same_as<std::complex<double>>;
  /// Valid UTF-8 without surrogates; throws DumpError (errc::bad_text).
  { walker.str(node) } -> std::convertible_to<std::string_view>;
  /// Of two texts: whether it is known without effort that they are the same. Equal hashes then.
  { walker.str_hash(node) } -> std::same_as<std::uint32_t>;
  { walker.same_str(node, node) } -> std::same_as<bool>;
  { walker.bytes(node) } -> std::convertible_to<std::span<const std::byte>>;
  /// Throws DumpError (errc::bad_channel).
  { walker.channel(node) } -> std::same_as<std::uint32_t>;
  /// Of a node of kind `other`, for the text of the error.
  { walker.type_name(node) } -> std::convertible_to<std::string>;
  /// Of a container.
  { walker.size(node) } -> std::same_as<std::size_t>;
  { walker.open(node) } -> std::same_as<typename W::Cursor>;
  /// The next item; of a dict, key and value in turn. False at the end.
  { walker.next(cursor, next) } -> std::same_as<bool>;
};

/// One that may find a NodeKind::array, whose header lasts as long as views do; its data is `bytes`.
template <class W>
concept ArrayWalker = requires(W& walker, const typename W::Node& node) {
  { walker.array(node) } -> std::same_as<ArrayHeader>;
};

/// Makes values for a decoder. Any function may throw, the decoder releases all nodes
/// then. Texts are valid UTF-8, integers within their bounds, keys and members hashable,
/// counts and depths checked. What is given as std::span<Node> may be moved from; it is
/// destroyed by the decoder afterwards.
template <class B>
concept ItemBuilder = requires(B& builder, typename B::Node& container, std::span<typename B::Node> nodes,
                               std::span<const std::byte> bytes, std::string_view text, const typename B::Node& str) {
  requires std::move_constructible<typename B::Node>;  // owns its value
  { builder.make_none() } -> std::same_as<typename B::Node>;
  { builder.make_bool(true) } -> std::same_as<typename B::Node>;
  { builder.make_integer(std::int64_t{}) } -> std::same_as<typename B::Node>;
  /// Little-endian two's complement of more than 8 bytes, as few as possible.
  { builder.make_big_integer(bytes) } -> std::same_as<typename B::Node>;
  { builder.make_float(1.0) } -> std::same_as<typename B::Node>;
  { builder.make_complex(1.0, 1.0) } -> std::same_as<typename B::Node>;
  { builder.make_str(text) } -> std::same_as<typename B::Node>;
  /// Once more a str that it made.
  { builder.repeat_str(str) } -> std::same_as<typename B::Node>;
  { builder.make_bytes(bytes) } -> std::same_as<typename B::Node>;
  { builder.make_tuple(nodes) } -> std::same_as<typename B::Node>;
  { builder.make_frozenset(nodes) } -> std::same_as<typename B::Node>;
  { builder.make_list() } -> std::same_as<typename B::Node>;
  { builder.make_dict() } -> std::same_as<typename B::Node>;
  { builder.make_set() } -> std::same_as<typename B::Node>;
  /// Adds to a container that make_list, make_dict, make_set gave; possibly several times.
  {builder.append(container, nodes)};
  /// Keys and values in turn; the last of equal keys wins.
  {builder.set_items(container, nodes)};
  {builder.add(container, nodes)};
  /// Throws LoadError (errc::bad_channel).
  { builder.make_channel(std::uint32_t{}) } -> std::same_as<typename B::Node>;
};

/// One without make_array gets a LoadError for arrays. Type and size are checked.
template <class B>
concept ArrayBuilder = requires(B& builder, const ArrayHeader& header, std::span<const std::byte> data) {
  { builder.make_array(header, data) } -> std::same_as<typename B::Node>;
};

/// The dump format may store the items of a list in any order.
template <class B>
concept DumpBuilder = ItemBuilder<B> && requires(B& builder, typename B::Node& list, typename B::Node& item) {
  /// The item at an index that exists; `item` may be moved from.
  {builder.replace(list, std::size_t{}, item)};
};

}  // namespace gangway::detail
