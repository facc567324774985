// Items out: whose turn it is, what credit covers, and how they are cut into frames.
#include <algorithm>
#include <array>

#include <gangway/error.hpp>

#include "channels/multiplexer.hpp"

namespace gangway::detail {

namespace {

// Below this a copy is cheaper than the book-keeping of a borrowed payload.
constexpr std::size_t copied_payload = 4 * 1024;

}  // namespace

bool Multiplexer::send_now(ChannelState& channel, ItemKind kind, std::span<const std::byte> payload) {
  if (!channel.sendable || !channel.outgoing.empty()) return false;
  if (payload.size() > limits::frame_sent || queue_.size() >= ahead_) return false;
  const std::uint64_t cost = payload.size() + limits::item_cost;
  if (cost > channel.credit) return false;
  // The control frames so far were asked for before: OPEN must come before the first item.
  if (has_control()) pump_control();
  queue_.append_frame({static_cast<std::uint8_t>(frame_whole | static_cast<std::uint8_t>(kind)),
                       static_cast<std::uint32_t>(payload.size()), channel.id},
                      payload);
  if (settings_.window != 0) channel.credit -= cost;
  return true;
}

bool Multiplexer::has_room(ChannelState& channel, std::size_t payload) const noexcept {
  return channel.sendable && channel.outgoing.empty() &&
         channel.credit >= payload + sizeof(std::uint64_t) + limits::item_cost;
}

void Multiplexer::send(const ChannelPtr& channel, OutItem& item) {
  if (!channel->sendable) {
    item.finished(errc::channel_closed);
    return;
  }
  item.group = channel->id;
  channel->outgoing.push(&item);
  try {
    take_turn(channel);
  } catch (...) {
    (void)channel->outgoing.remove(&item);
    throw;
  }
}

bool Multiplexer::withdraw(ChannelState& channel, OutItem& item) {
  if (item.begun || !channel.outgoing.remove(&item)) return false;
  if (channel.outgoing.empty() && channel.last_message_due) send_due_last_message(channel);
  return true;
}

void Multiplexer::last_message(ChannelState& channel) {
  if (!channel.sendable) return;
  channel.sendable = false;
  if (channel.outgoing.empty())
    control(ControlKind::last_message, channel.id);
  else
    channel.last_message_due = true;
}

// Behind the last item that waited. If the peer will send nothing either, it is over.
void Multiplexer::send_due_last_message(ChannelState& channel) {
  channel.last_message_due = false;
  if (channel.receivable)
    control(ControlKind::last_message, channel.id);
  else if (const ChannelPtr live = find(channel.id))
    close_at_end(live);
}

// What of them is in frames is written, or forgotten by the queue.
void Multiplexer::fail_sends(ChannelState& channel, boost::system::error_code error) {
  while (!channel.outgoing.empty()) {
    OutItem& item = *channel.outgoing.pop();
    item.borrowed = 0;
    item.finished(error);
  }
}

// --- turns

void Multiplexer::take_turn(const ChannelPtr& channel) {
  if (channel->in_turn || channel->outgoing.empty()) return;
  turns_.push_back(channel);
  channel->in_turn = true;
}

std::span<const iovec> Multiplexer::gather(std::span<iovec> pieces) {
  pump();
  return queue_.gather(pieces);
}

// Not before there is room: replies_queued_ counts what the peer does not read.
void Multiplexer::pump_control() {
  if (queue_.size() >= ahead_) return;
  queue_.append(control_);
  control_.clear();
  replies_queued_ = 0;
  std::array<std::byte, sizeof(std::uint64_t)> credit;
  for (const std::uint32_t id : credit_due_) {
    const ChannelPtr channel = find(id);
    if (!channel || !channel->receivable || channel->granted == 0) continue;
    store_little(credit.data(), channel->granted);
    queue_.append_frame({static_cast<std::uint8_t>(ControlKind::credit), credit.size(), id}, credit);
    channel->granted = 0;
  }
  credit_due_.clear();
}

void Multiplexer::pump() {
  if (has_control()) pump_control();
  while (!turns_.empty() && queue_.size() < ahead_) {
    const ChannelPtr channel = std::move(turns_.front());
    turns_.pop_front();
    channel->in_turn = false;
    if (!channel->outgoing.empty() && cut_frame(*channel)) take_turn(channel);
  }
}

// One frame of the channel's first item. False when its credit does not cover any.
bool Multiplexer::cut_frame(ChannelState& channel) {
  OutItem& item = *channel.outgoing.front();
  const std::size_t rest = item.size() - item.cut;
  const std::uint64_t extra = item.begun ? 0 : limits::item_cost;
  if (channel.credit < extra + (rest > 0) && settings_.window != 0) return false;
  const std::uint64_t most = std::min<std::uint64_t>({channel.credit - extra, limits::frame_sent, ahead_});

  std::array<std::byte, sizeof(std::uint64_t)> prefix;
  std::size_t prefix_size = 0;
  std::size_t part = rest;
  bool ends = true;
  if (rest > most) {
    if (item.kind == ItemKind::integer) return false;
    ends = false;
    if (!item.begun) {
      if (most < least_begin) return false;
      prefix_size = prefix.size();
      store_little<std::uint64_t>(prefix.data(), item.size());
    }
    part = static_cast<std::size_t>(most) - prefix_size;
  }
  const auto kind = static_cast<std::uint8_t>(static_cast<std::uint8_t>(item.kind) | (item.begun ? 0 : frame_begin) |
                                              (ends ? frame_end : 0));
  const FrameHeader header{kind, static_cast<std::uint32_t>(part + prefix_size), channel.id};
  if (settings_.window != 0) channel.credit -= header.length + extra;
  const auto payload = item.run(item.cut, part);
  item.begun = true;
  if (part <= copied_payload || payload.size() < part) {  // at most the first and the last frame of an array
    queue_.append_frame(header, std::span(prefix).first(prefix_size));
    for (const std::size_t end = item.cut + part; item.cut < end;) {
      const auto run = item.run(item.cut, end - item.cut);
      queue_.append(run);
      item.cut += run.size();
    }
  } else {
    item.cut += part;
    item.borrowed += part;
    queue_.append_frame(header, std::span(prefix).first(prefix_size), payload, item);
  }
  if (!ends) return true;
  channel.outgoing.pop();
  if (channel.outgoing.empty() && channel.last_message_due) send_due_last_message(channel);
  if (item.borrowed == 0) item.finished({});
  return !channel.outgoing.empty();
}

}  // namespace gangway::detail
