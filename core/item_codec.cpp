#include "core/item_codec.hpp"

#include <string>

#include <gangway/error.hpp>

#include "core/pickle_decoder.hpp"
#include "core/pickle_encoder.hpp"
#include "core/utf8.hpp"
#include "core/value_nodes.hpp"

namespace gangway::detail {

template class PickleEncoder<ValueWalker>;
template class PickleDecoder<ValueBuilder>;

namespace {

// The UTF-8 of every str, keys of dicts included.
class BytesBuilder : public ValueBuilder {
 public:
  using ValueBuilder::ValueBuilder;
  [[nodiscard]] Value make_str(std::string_view text) const { return Bytes(text); }
};

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void fail_text(std::size_t at) {
  throw LoadError(errc::bad_text, "bad item: a str that is not UTF-8, at byte " + std::to_string(at));
}

Value decode_integer(std::span<const std::byte> payload) {
  if (payload.size() != 8) {
    throw LoadError(errc::bad_item, "bad item: an int of " + std::to_string(payload.size()) + " bytes, not 8");
  }
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 8; ++i) bits |= std::to_integer<std::uint64_t>(payload[i]) << (8 * i);
  return static_cast<std::int64_t>(bits);
}

}  // namespace

void ValueWalker::fail_text(std::size_t at) {
  throw DumpError(errc::bad_text, "can't serialize: a str that is not UTF-8 from byte " + std::to_string(at) + " on");
}

std::uint32_t ValueWalker::channel(Node node) const {
  if (channels_ == nullptr) throw DumpError(errc::bad_channel, "can't serialize: a channel has no meaning here");
  return channels_->id_of(node->as_channel());
}

Value ValueBuilder::make_channel(std::uint32_t id) const {
  if (channels_ == nullptr) throw LoadError(errc::bad_channel, "bad item: a channel has no meaning here");
  return channels_->channel(id);
}

EncodedItem encode_item(const Value& value, Bytes& scratch, ChannelTable* channels) {
  switch (value.kind()) {
    case Kind::bytes: return {ItemKind::bytes, value.as_bytes().span()};
    case Kind::str: {
      const std::string_view text = ValueWalker(channels).str(&value);
      return {ItemKind::str, std::as_bytes(std::span(text))};
    }
    case Kind::integer: {
      const auto bits = static_cast<std::uint64_t>(value.as_int());
      scratch.resize_uninitialized(8);
      for (std::size_t i = 0; i < 8; ++i) scratch[i] = static_cast<std::byte>(bits >> (8 * i));
      return {ItemKind::integer, scratch.span()};
    }
    default: break;
  }
  ValueWalker walker(channels);
  PickleEncoder<ValueWalker>(walker, scratch).encode(&value);
  return {ItemKind::pickle, scratch.span()};
}

Value decode_item(ItemKind kind, std::span<const std::byte> payload, ChannelTable* channels, Strings strings) {
  switch (kind) {
    case ItemKind::bytes: return Bytes(payload);
    case ItemKind::str: {
      const std::string_view text = as_text(payload);
      const std::size_t bad = find_bad_utf8(text);
      if (bad != text.size()) fail_text(bad);
      if (strings == Strings::as_bytes) return Bytes(payload);
      return text;
    }
    case ItemKind::integer: return decode_integer(payload);
    case ItemKind::pickle:
      if (strings == Strings::as_bytes) {
        BytesBuilder builder(channels);
        return PickleDecoder<BytesBuilder>(builder, payload).decode();
      }
      [[fallthrough]];
    case ItemKind::exec: return decode_pickle(payload, channels);
  }
  throw LoadError(errc::bad_item, "bad item: unknown kind " + std::to_string(static_cast<unsigned>(kind)));
}

Value decode_item(ItemKind kind, Bytes&& payload, ChannelTable* channels, Strings strings) {
  if (kind == ItemKind::bytes) return std::move(payload);
  return decode_item(kind, std::as_const(payload).span(), channels, strings);
}

Bytes encode_pickle(const Value& value, ChannelTable* channels) {
  Bytes stream;
  ValueWalker walker(channels);
  PickleEncoder<ValueWalker>(walker, stream).encode(&value);
  return stream;
}

Value decode_pickle(std::span<const std::byte> stream, ChannelTable* channels) {
  ValueBuilder builder(channels);
  return PickleDecoder<ValueBuilder>(builder, stream).decode();
}

}  // namespace gangway::detail
