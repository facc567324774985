// What has arrived, as a value. On the thread that takes it.
#pragma once

#include <utility>

#include <gangway/value.hpp>

#include "channels/channel_state.hpp"
#include "core/item_codec.hpp"

namespace gangway::detail {

/// Throws LoadError.
[[nodiscard]] inline Value decode(ChannelTable& channels, InItem item) {
  if (item.kind == ItemKind::integer) return Value(item.integer);
  return decode_item(item.kind, std::move(item.payload), &channels, item.strings);
}

}  // namespace gangway::detail
