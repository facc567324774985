// Item frames in: items are put together, within the credit that was given.
#include <algorithm>
#include <utility>

#include "channels/frame_text.hpp"
#include "channels/multiplexer.hpp"

namespace gangway::detail {

namespace {

// What a controller keeps for channels that its agent opened and that nobody here has got,
// in all: as long as the items that bring them are not read, or for ever with a hostile agent.
constexpr std::uint64_t unclaimed_windows = 16;

bool is_item_kind(std::uint8_t tag) { return tag >= 1 && tag <= 5; }

// Not an optional frame that this side has to skip.
bool is_known(const FrameHeader& header, Side side) {
  return !header.is_optional() || (side == Side::controller && header.control_kind() == ControlKind::need);
}

}  // namespace

bool Multiplexer::received(std::size_t size) {
  if (parser_.commit(size)) return true;
  if (failure_.empty()) failure_ = parser_.failure();
  return false;
}

bool Multiplexer::feed(std::span<const std::byte> bytes) {
  if (parser_.feed(bytes)) return true;
  if (failure_.empty()) failure_ = parser_.failure();
  return false;
}

bool Multiplexer::on_frame(const FrameHeader& header, std::span<const std::byte> part) {
  if (!hello_seen_ && header.kind != static_cast<std::uint8_t>(ControlKind::hello))
    return broken("frame of kind " + std::to_string(header.kind) + " before HELLO");
  current_ = header;
  current_missing_ = header.length - part.size();
  current_channel_.reset();
  if (header.is_item()) return on_item_frame(header, part);
  if (!is_known(header, settings_.side)) return true;
  if (current_missing_ == 0) return on_control(header, part);
  current_control_ = Bytes(part);
  return true;
}

bool Multiplexer::on_payload(std::span<const std::byte> part) {
  current_missing_ -= part.size();
  if (current_.is_item()) {
    if (!current_channel_ || !current_channel_->assembly) return true;  // closed here: dropped
    Bytes& payload = current_channel_->assembly->payload;
    if (part.data() == payload.data() + payload.size())
      payload.resize_uninitialized(payload.size() + part.size());  // it was read straight to its destination
    else
      payload.append(part);
    return current_missing_ > 0 || end_of_item_frame();
  }
  if (!is_known(current_, settings_.side)) return true;
  current_control_.append(part);
  if (current_missing_ > 0) return true;
  const Bytes whole = std::move(current_control_);
  return on_control(current_, whole);
}

std::span<std::byte> Multiplexer::destination(std::size_t length) {
  if (!current_.is_item() || !current_channel_ || !current_channel_->assembly) return {};
  const ChannelState::Assembly& assembly = *current_channel_->assembly;
  Bytes& payload = current_channel_->assembly->payload;
  // Twice as much each time, but never by the announced total alone.
  if (payload.capacity() < payload.size() + length)
    payload.reserve(std::min<std::size_t>(assembly.total, std::max(payload.capacity() * 2, payload.size() + length)));
  return {payload.data() + payload.size(), length};
}

// Finds a live channel; none, but true, for one that was closed.
bool Multiplexer::lookup(std::uint32_t id, ChannelPtr& channel) {
  channel = find(id);
  return channel || was_open(id) || broken("frame for channel " + std::to_string(id) + " that was never opened");
}

bool Multiplexer::on_item_frame(const FrameHeader& header, std::span<const std::byte> part) {
  if (!is_item_kind(header.kind & 0x0f)) return broken("unknown item tag " + std::to_string(header.kind));
  if (!lookup(header.channel, current_channel_)) return false;
  if (!current_channel_) return true;
  ChannelState& channel = *current_channel_;
  if (!channel.receivable) return broken("item after LAST_MESSAGE" + channel_text(channel.id));

  const std::uint64_t cost = header.length + (header.begins() ? limits::item_cost : 0);
  if (settings_.window != 0) {
    if (cost > channel.allowance) return broken("item beyond its credit" + channel_text(channel.id));
    channel.allowance -= cost;
    if (settings_.side == Side::controller && !channel.claimed && !hold_unclaimed(channel, cost))
      return broken("more than " + std::to_string(unclaimed_windows) + " windows on channels that nobody asked for");
  }

  // The common case: a whole item that is here already.
  if (header.begins() && header.ends() && part.size() == header.length && header.item_kind() != ItemKind::exec) {
    if (channel.assembly) return broken("item begins inside another" + channel_text(channel.id));
    if (header.length > settings_.max_item) return broken("item over max_item" + channel_text(channel.id));
    channel.any_item = true;
    InItem item{header.item_kind(), 0, {}, cost, channel.strings};
    if (item.kind == ItemKind::integer) {
      if (part.size() != sizeof item.integer) return broken("INT that is not 8 bytes" + channel_text(channel.id));
      item.integer = load_little<std::int64_t>(part.data());
    } else {
      item.payload = Bytes(part);
    }
    return deliver(current_channel_, std::move(item));
  }

  if (header.begins()) {
    if (!begin_item(header, part)) return false;
  } else {
    if (!channel.assembly) return broken("item continues without a beginning" + channel_text(channel.id));
    if (channel.assembly->kind != header.item_kind()) return broken("item changes its tag" + channel_text(channel.id));
    if (!header.ends() && header.length == 0) return broken("empty frame inside an item" + channel_text(channel.id));
  }
  ChannelState::Assembly& assembly = *channel.assembly;
  if (!header.begins() && header.length > assembly.total - assembly.payload.size())
    return broken("item longer than announced" + channel_text(channel.id));
  assembly.cost += cost;
  assembly.payload.append(part);
  return current_missing_ > 0 || end_of_item_frame();
}

bool Multiplexer::begin_item(const FrameHeader& header, std::span<const std::byte>& part) {
  ChannelState& channel = *current_channel_;
  if (channel.assembly) return broken("item begins inside another" + channel_text(channel.id));
  if (header.item_kind() == ItemKind::integer && (!header.ends() || header.length != sizeof(std::int64_t)))
    return broken("INT that is not one frame of 8 bytes" + channel_text(channel.id));
  if (header.item_kind() == ItemKind::exec) {
    if (settings_.side == Side::controller) return broken("EXEC from the agent" + channel_text(channel.id));
    if (own(channel.id) || channel.any_item)
      return broken("EXEC that is not the first item of a controller's channel" + channel_text(channel.id));
  }
  std::uint64_t total = header.length;
  std::size_t data = header.length;
  if (!header.ends()) {
    if (header.length < least_begin) return broken("item that begins with nothing" + channel_text(channel.id));
    total = load_little<std::uint64_t>(part.data());
    part = part.subspan(sizeof total);
    data -= sizeof total;
    if (data >= total) return broken("item longer than announced" + channel_text(channel.id));
  }
  if (total > settings_.max_item) return broken("item over max_item" + channel_text(channel.id));
  channel.any_item = true;
  channel.assembly = std::make_unique<ChannelState::Assembly>();
  channel.assembly->total = total;
  channel.assembly->kind = header.item_kind();
  // What the controller announces may be believed: it could execute code here anyway.
  if (settings_.side == Side::agent) channel.assembly->payload.reserve(static_cast<std::size_t>(total));
  return true;
}

bool Multiplexer::end_of_item_frame() {
  ChannelState& channel = *current_channel_;
  ChannelState::Assembly& assembly = *channel.assembly;
  if (!current_.ends()) {
    if (assembly.payload.size() >= assembly.total)
      return broken("item longer than announced" + channel_text(channel.id));
    grant_assembly(channel);
    return true;
  }
  if (assembly.payload.size() != assembly.total)
    return broken("item shorter than announced" + channel_text(channel.id));
  InItem item{assembly.kind, 0, std::move(assembly.payload), assembly.cost - assembly.granted, channel.strings};
  channel.assembly.reset();
  if (item.kind == ItemKind::integer) item.integer = load_little<std::int64_t>(item.payload.data());
  return deliver(current_channel_, std::move(item));
}

bool Multiplexer::deliver(const ChannelPtr& channel, InItem item) {
  if (item.kind == ItemKind::exec) {
    // Taken, as far as credit goes; granted with the items that follow, unless it is much.
    channel->to_grant += item.cost;
    if (channel->to_grant >= settings_.window / 4) grant(*channel);
    channel->execs = true;
    events_.on_exec(channel, std::move(item.payload));
    return true;
  }
  channel->arrived.push(std::move(item));
  events_.on_item(channel);
  return true;
}

std::optional<InItem> Multiplexer::take(ChannelState& channel) {
  if (channel.arrived.empty()) return {};
  InItem item = channel.arrived.pop();
  if (settings_.window == 0 || !channel.receivable) return item;
  channel.to_grant += item.cost;
  if (channel.to_grant >= settings_.window / 4) grant(channel);
  grant_assembly(channel);
  return item;
}

// --- credit

void Multiplexer::grant(ChannelState& channel) {
  if (settings_.window == 0 || channel.to_grant == 0) return;
  channel.allowance += channel.to_grant;
  if (channel.granted == 0) credit_due_.push_back(channel.id);
  channel.granted += std::exchange(channel.to_grant, 0);
}

// An item is arriving, nothing waits before it, and its sender is about to run out of
// credit for it: the bytes that are here are given back before they are taken.
void Multiplexer::grant_assembly(ChannelState& channel) {
  if (settings_.window == 0 || !channel.assembly || !channel.arrived.empty()) return;
  if (settings_.side == Side::controller && !channel.claimed) return;  // nobody here waits for it
  ChannelState::Assembly& assembly = *channel.assembly;
  const std::uint64_t missing = assembly.total - assembly.payload.size();
  if (channel.allowance >= missing || channel.allowance >= settings_.window / 2) return;
  channel.to_grant += assembly.cost - assembly.granted;
  assembly.granted = assembly.cost;
  grant(channel);
}

bool Multiplexer::hold_unclaimed(ChannelState& channel, std::uint64_t cost) noexcept {
  channel.unclaimed += cost;
  unclaimed_cost_ += cost;
  return unclaimed_cost_ <= unclaimed_windows * settings_.window;
}

void Multiplexer::release_unclaimed(ChannelState& channel) noexcept {
  unclaimed_cost_ -= std::exchange(channel.unclaimed, 0);
}

}  // namespace gangway::detail
