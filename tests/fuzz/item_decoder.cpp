// What a hostile agent can send as an item. The first byte is the tag.
#include <cstdint>
#include <cstdlib>
#include <span>

#include <gangway/error.hpp>

#include "core/item_codec.hpp"

namespace {

using namespace gangway;

class Channels final : public detail::ChannelTable {
 public:
  std::uint32_t id_of(const ChannelRef& channel) override { return channel.id; }
  ChannelRef channel(std::uint32_t id) override {
    if (id % 2 == 0) throw LoadError(errc::bad_channel, "not open");
    return {id, nullptr};
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto kind = static_cast<detail::ItemKind>(data[0] % 8);
  const auto payload = std::as_bytes(std::span(data + 1, size - 1));
  Channels channels;
  Value value;
  try {
    value = detail::decode_item(kind, payload, &channels);
  } catch (const LoadError&) {
    return 0;
  }
  // What was read can be written, and is the same when it is read again.
  Bytes scratch;
  const detail::EncodedItem item = detail::encode_item(value, scratch, &channels);
  const Value again = detail::decode_item(item.kind, Bytes(item.payload), &channels);
  if (detail::encode_pickle(again, &channels) != detail::encode_pickle(value, &channels)) std::abort();
  return 0;
}
