// Items on the wire (spec-docs/items.md), for C++ Values: encode and decode.
//
// The work is done by the templates in pickle_encoder.hpp and pickle_decoder.hpp, which
// the Python binding instantiates for Python objects.
//
// Threads: no state; a ChannelTable is only used during the call.
#pragma once

#include <cstdint>
#include <span>

#include <gangway/bytes.hpp>
#include <gangway/value.hpp>

namespace gangway::detail {

/// The tags of wire.md, 2.1.
enum class ItemKind : std::uint8_t { pickle = 1, bytes = 2, str = 3, integer = 4, exec = 5 };

/// A view of what goes on the wire: of the value itself (bytes, str, a large array), or of the scratch.
struct EncodedItem {
  ItemKind kind;
  std::span<const std::byte> payload;
  // What goes in front of a payload that is larger than a frame, and behind it: of arrays.
  std::span<const std::byte> head{};
  std::span<const std::byte> tail{};
  bool has_arrays = false;  // somewhere in it: a portable agent has to be told how to read them

  [[nodiscard]] std::size_t size() const noexcept { return head.size() + payload.size() + tail.size(); }
  [[nodiscard]] Bytes joined() const {
    Bytes all;
    all.reserve(size());
    for (const auto part : {head, payload, tail}) all.append(part);
    return all;
  }
};

/// What becomes of a str: a channel may be told to give its UTF-8 as bytes.
enum class Strings : bool { as_text, as_bytes };

/// Knows the channels of a connection.
class ChannelTable {
 public:
  /// Throws DumpError (errc::bad_channel) for a channel of another connection.
  virtual std::uint32_t id_of(const ChannelRef& channel) = 0;
  /// Throws LoadError (errc::bad_channel) for an id that is not open.
  virtual ChannelRef channel(std::uint32_t id) = 0;

 protected:
  ~ChannelTable() = default;
};

/// The tag and the payload for a value. `scratch` is overwritten when it is needed and
/// keeps its storage, so use one for many items. Without a table no channel can be sent.
/// Throws DumpError: too_deep, bad_text, bad_channel, item_too_large (an int over 1 MiB).
[[nodiscard]] EncodedItem encode_item(const Value& value, Bytes& scratch, ChannelTable* channels);

/// Throws LoadError (bad_item, bad_text, too_deep, bad_channel; the text has the offset)
/// and std::bad_alloc. `exec` is a pickle stream.
[[nodiscard]] Value decode_item(ItemKind kind, std::span<const std::byte> payload, ChannelTable* channels,
                                Strings strings = Strings::as_text);
/// The same; a bytes item takes the payload over without a copy.
[[nodiscard]] Value decode_item(ItemKind kind, Bytes&& payload, ChannelTable* channels,
                                Strings strings = Strings::as_text);

/// Always a pickle stream, as HELLO, EXEC and STATUS_REPLY need it.
[[nodiscard]] Bytes encode_pickle(const Value& value, ChannelTable* channels = nullptr);
[[nodiscard]] Value decode_pickle(std::span<const std::byte> stream, ChannelTable* channels = nullptr);

}  // namespace gangway::detail
