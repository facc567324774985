#include "channels/multiplexer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <gangway/error.hpp>

#include "core/utf8.hpp"

namespace gangway::detail {

namespace {

// Items that are in frames but not on the wire: as much as one write takes. More would
// only stand before the next control frame.
constexpr std::size_t queue_high_water = 128 * 1024;

// Below this a copy is cheaper than the book-keeping of a borrowed payload.
constexpr std::size_t copied_payload = 4 * 1024;

// An item's first frame: the total size, and at least one byte.
constexpr std::size_t least_begin = sizeof(std::uint64_t) + 1;

// What a controller keeps for channels that its agent opened and that nobody here has got,
// in all: as long as the items that bring them are not read, or for ever with a hostile agent.
constexpr std::uint64_t unclaimed_windows = 16;

constexpr std::uint64_t unlimited = ~std::uint64_t{0};

bool is_item_kind(std::uint8_t tag) { return tag >= 1 && tag <= 5; }

// Of the payload of RECONFIGURE.
constexpr std::uint8_t option_py2str_as_py3str = 1;
constexpr std::uint8_t option_py3str_as_py2str = 2;

// Not an optional frame that this side has to skip.
bool is_known(const FrameHeader& header, Side side) {
  return !header.is_optional() || (side == Side::controller && header.control_kind() == ControlKind::need);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A cut in the middle of a character leaves none of it.
std::string_view without_cut_character(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0 && (static_cast<unsigned char>(text[end - 1]) & 0xc0) == 0x80) --end;
  if (end > 0 && find_bad_utf8(text.substr(end - 1)) != text.size() - end + 1) return text.substr(0, end - 1);
  return text;
}

std::string with_question_marks(std::string text) {
  for (std::size_t at = 0; (at += find_bad_utf8(std::string_view(text).substr(at))) < text.size();) text[at] = '?';
  return text;
}

Strings strings_of(StringOptions options) { return options.py3str_as_py2str ? Strings::as_bytes : Strings::as_text; }

std::byte flags_of(StringOptions options) {
  return static_cast<std::byte>((options.py2str_as_py3str ? option_py2str_as_py3str : 0) |
                                (options.py3str_as_py2str ? option_py3str_as_py2str : 0));
}

std::string channel_text(std::uint32_t id) { return " on channel " + std::to_string(id); }

}  // namespace

Multiplexer::Multiplexer(const Settings& settings, Events& events)
    : settings_(settings), events_(events), parser_(*this), next_own_(settings.side == Side::controller ? 1 : 2) {}

bool Multiplexer::broken(std::string text) {
  failure_ = std::move(text);
  return false;
}

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

// --- reading

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

bool Multiplexer::own(std::uint32_t id) const noexcept { return (id % 2 == 1) == (settings_.side == Side::controller); }

bool Multiplexer::was_open(std::uint32_t id) const noexcept {
  return id != 0 && (own(id) ? id < next_own_ : id <= last_peer_);
}

bool Multiplexer::hold_unclaimed(ChannelState& channel, std::uint64_t cost) noexcept {
  channel.unclaimed += cost;
  unclaimed_cost_ += cost;
  return unclaimed_cost_ <= unclaimed_windows * settings_.window;
}

void Multiplexer::release_unclaimed(ChannelState& channel) noexcept {
  unclaimed_cost_ -= std::exchange(channel.unclaimed, 0);
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

bool Multiplexer::on_control(const FrameHeader& header, std::span<const std::byte> payload) {
  const ControlKind kind = header.control_kind();
  switch (kind) {
    case ControlKind::hello:
    case ControlKind::terminate:
    case ControlKind::ping:
    case ControlKind::pong:
    case ControlKind::status:
    case ControlKind::status_reply:
    case ControlKind::stacks:
    case ControlKind::stacks_reply:
    case ControlKind::part:
    case ControlKind::need:
      if (header.channel != 0) return broken("frame of the connection with a channel id");
      return on_connection_frame(kind, payload);
    case ControlKind::reconfigure: return on_reconfigure_frame(header.channel, payload);
    case ControlKind::interrupt: return on_interrupt_frame(header.channel, payload);
    case ControlKind::credit:
    case ControlKind::close:
    case ControlKind::close_error:
    case ControlKind::last_message:
    case ControlKind::open: break;
    default: return broken("unknown control frame " + std::to_string(header.kind));
  }
  if (kind == ControlKind::open) return payload.empty() ? on_open_frame(header.channel) : broken("OPEN with a payload");
  ChannelPtr channel;
  if (!lookup(header.channel, channel)) return false;
  return on_channel_frame(kind, channel, payload);
}

bool Multiplexer::on_connection_frame(ControlKind kind, std::span<const std::byte> payload) {
  const bool agent = settings_.side == Side::agent;
  const auto number = [&] { return load_little<std::uint64_t>(payload.data()); };
  constexpr std::size_t number_size = sizeof(std::uint64_t);
  switch (kind) {
    case ControlKind::hello:
      if (hello_seen_) return broken("second HELLO");
      hello_seen_ = true;
      if (auto reason = events_.on_hello(payload)) return broken(std::move(*reason));
      return true;
    case ControlKind::terminate:
      if (!agent || !payload.empty()) return broken("TERMINATE from the agent, or with a payload");
      events_.on_terminate();
      return true;
    case ControlKind::ping:
      if (payload.size() != number_size) return broken("PING that is not 8 bytes");
      if (!may_reply()) return false;
      control(ControlKind::pong, 0, payload);
      return true;
    case ControlKind::pong:
      if (payload.size() != number_size) return broken("PONG that is not 8 bytes");
      events_.on_pong(number());
      return true;
    case ControlKind::status:
      if (!agent || payload.size() != number_size) return broken("STATUS from the agent, or not 8 bytes");
      if (!may_reply()) return false;
      events_.on_status(number());
      return true;
    case ControlKind::status_reply:
      if (agent || payload.size() < number_size) return broken("STATUS_REPLY to an agent, or too short");
      events_.on_status_reply(number(), payload.subspan(number_size));
      return true;
    case ControlKind::stacks:
      if (!agent || payload.size() != number_size) return broken("STACKS from the agent, or not 8 bytes");
      if (!may_reply()) return false;
      events_.on_stacks(number());
      return true;
    case ControlKind::stacks_reply: return on_stacks_reply_frame(payload);
    case ControlKind::part: return on_part_frame(payload);
    case ControlKind::need:
      if (payload.size() > limits::part_name || !is_utf8(as_text(payload)))
        return broken("NEED too long, or not UTF-8");
      if (!may_reply()) return false;
      events_.on_need(as_text(payload));
      return true;
    default: return broken("frame of a channel without a channel id");
  }
}

bool Multiplexer::on_stacks_reply_frame(std::span<const std::byte> payload) {
  constexpr std::size_t number_size = sizeof(std::uint64_t);
  if (settings_.side == Side::agent || payload.size() < number_size)
    return broken("STACKS_REPLY to an agent, or too short");
  const std::string_view text = as_text(payload.subspan(number_size));
  if (text.size() > limits::stacks_text) return broken("stacks of more than " + std::to_string(limits::stacks_text));
  if (!is_utf8(text)) return broken("stacks that are not UTF-8");
  events_.on_stacks_reply(load_little<std::uint64_t>(payload.data()), text);
  return true;
}

bool Multiplexer::on_part_frame(std::span<const std::byte> payload) {
  const std::size_t name_size = payload.empty() ? 0 : std::to_integer<std::size_t>(payload[0]);
  if (settings_.side == Side::controller || name_size == 0 || payload.size() <= 1 + name_size)
    return broken("PART from the agent, without a name, or empty");
  const std::string_view name = as_text(payload.subspan(1, name_size));
  if (!is_utf8(name)) return broken("PART with a name that is not UTF-8");
  events_.on_part(name, payload.subspan(1 + name_size));
  return true;
}

bool Multiplexer::on_reconfigure_frame(std::uint32_t id, std::span<const std::byte> payload) {
  constexpr auto known = static_cast<std::byte>(option_py2str_as_py3str | option_py3str_as_py2str);
  if (payload.size() != 1 || (payload[0] & ~known) != std::byte{0})
    return broken("RECONFIGURE that is not one byte, or with unknown options");
  const Strings strings = (payload[0] & static_cast<std::byte>(option_py3str_as_py2str)) != std::byte{0}
                              ? Strings::as_bytes
                              : Strings::as_text;
  if (id == 0) {
    if (settings_.side == Side::controller) return broken("RECONFIGURE of all channels from the agent");
    strings_ = strings;
    return true;
  }
  ChannelPtr channel;
  if (!lookup(id, channel)) return false;
  if (channel) channel->strings = strings;
  return true;
}

bool Multiplexer::on_interrupt_frame(std::uint32_t id, std::span<const std::byte> payload) {
  if (!payload.empty()) return broken("INTERRUPT with a payload");
  if (settings_.side == Side::controller) return broken("INTERRUPT from the agent");
  ChannelPtr channel;
  if (!lookup(id, channel)) return false;
  events_.on_interrupt(id);
  return true;
}

bool Multiplexer::on_channel_frame(ControlKind kind, const ChannelPtr& channel, std::span<const std::byte> payload) {
  if (kind == ControlKind::credit && payload.size() != sizeof(std::uint64_t))
    return broken("CREDIT that is not 8 bytes");
  if (kind == ControlKind::close_error) {
    if (payload.size() > limits::error_text) return broken("error text over " + std::to_string(limits::error_text));
    if (!is_utf8(as_text(payload))) return broken("error text that is not UTF-8");
  } else if (kind != ControlKind::credit && !payload.empty()) {
    return broken("control frame with a payload that it does not have");
  }
  if (kind == ControlKind::credit && settings_.window == 0) return broken("CREDIT without flow control");
  if (!channel) return true;  // closed here meanwhile

  switch (kind) {
    case ControlKind::credit: return on_credit(channel, load_little<std::uint64_t>(payload.data()));
    case ControlKind::close_error: channel->error = std::string(as_text(payload)); [[fallthrough]];
    case ControlKind::close:
      channel->closed = true;
      forget(channel, errc::channel_closed);
      return true;
    case ControlKind::last_message:
      channel->receivable = false;
      channel->assembly.reset();
      if (!channel->sendable && !channel->last_message_due)
        close(channel);  // neither side will send: it is over
      else
        events_.on_end(channel);
      return true;
    default: return broken("unknown control frame");
  }
}

bool Multiplexer::on_open_frame(std::uint32_t id) {
  if (id == 0 || own(id) || id <= last_peer_) return broken("OPEN of channel " + std::to_string(id));
  if (peer_open_ >= settings_.peer_channels)
    return broken("more than " + std::to_string(settings_.peer_channels) + " channels opened by the peer");
  last_peer_ = id;
  ++peer_open_;
  const auto channel = std::make_shared<ChannelState>(id);
  add(channel);
  events_.on_open(channel);
  return true;
}

bool Multiplexer::on_credit(const ChannelPtr& channel, std::uint64_t credit) {
  if (credit == 0) return broken("CREDIT of 0" + channel_text(channel->id));
  if (credit > settings_.window - channel->credit) return broken("credit above the window" + channel_text(channel->id));
  channel->credit += credit;
  if (!channel->outgoing.empty()) take_turn(channel);
  return true;
}

// --- channels

void Multiplexer::add(const ChannelPtr& channel) {
  channel->strings = strings_;
  channel->allowance = channel->credit = settings_.window == 0 ? unlimited : settings_.window;
  channels_.emplace(channel->id, channel);
}

Multiplexer::ChannelPtr Multiplexer::open() {
  if (over_) throw_error(errc::channel_closed, "the connection has ended");
  if (own_open_ >= settings_.own_channels)
    throw_error(errc::too_many_channels,
                "too many channels: " + std::to_string(settings_.own_channels) + " may be open at a time");
  if (next_own_ >= 0xfffffffeU) throw_error(errc::too_many_channels, "this connection has used up its channel ids");
  const auto channel = std::make_shared<ChannelState>(next_own_);
  channel->claimed = true;
  add(channel);
  try {
    control(ControlKind::open, channel->id);
  } catch (...) {
    channels_.erase(channel->id);
    throw;
  }
  next_own_ += 2;
  ++own_open_;
  return channel;
}

Multiplexer::ChannelPtr Multiplexer::find(std::uint32_t id) const {
  const auto found = channels_.find(id);
  return found == channels_.end() ? nullptr : found->second;
}

std::vector<Multiplexer::ChannelPtr> Multiplexer::channels() const {
  std::vector<ChannelPtr> all;
  all.reserve(channels_.size());
  for (const auto& [id, channel] : channels_) all.push_back(channel);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  return all;
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

void Multiplexer::close(const ChannelPtr& channel, std::optional<std::string_view> error) {
  if (channel->closed || over_) {
    channel->sendable = channel->receivable = false;
    channel->closed = true;
    return;
  }
  if (error) {
    // Longer ones keep their end, where the message is; a cut character is not sent.
    std::string text(error->substr(error->size() - std::min(error->size(), limits::error_text)));
    const bool cut = text.size() < error->size();
    while (cut && !text.empty() && (static_cast<unsigned char>(text.front()) & 0xc0) == 0x80) text.erase(0, 1);
    text = with_question_marks(std::move(text));
    control(ControlKind::close_error, channel->id, std::as_bytes(std::span(text)));
  } else {
    control(ControlKind::close, channel->id);
  }
  channel->closed = true;
  forget(channel, errc::channel_closed);
}

void Multiplexer::forget(const ChannelPtr& channel, boost::system::error_code error) {
  if (channels_.erase(channel->id) > 0) --(own(channel->id) ? own_open_ : peer_open_);
  channel->sendable = channel->receivable = false;
  channel->assembly.reset();
  fail_sends(*channel, error);
  // The peer may have closed it before the item that refers to it was taken.
  if (!own(channel->id) && !channel->claimed && (!channel->arrived.empty() || channel->error)) {
    unclaimed_.emplace(channel->id, channel);
    if (unclaimed_.size() > settings_.peer_channels) {
      release_unclaimed(*unclaimed_.begin()->second);
      unclaimed_.erase(unclaimed_.begin());
    }
  } else {
    release_unclaimed(*channel);
  }
  events_.on_end(channel);
}

Multiplexer::ChannelPtr Multiplexer::claim(std::uint32_t id) {
  ChannelPtr channel = find(id);
  if (!channel) {
    const auto found = unclaimed_.find(id);
    if (found != unclaimed_.end()) {
      channel = found->second;
      unclaimed_.erase(found);
    } else if (const auto ended = ended_.find(id); ended != ended_.end()) {
      channel = ended->second;
    } else if (was_open(id)) {
      channel = std::make_shared<ChannelState>(id);
      channel->sendable = channel->receivable = false;
      channel->closed = true;
    }
  }
  if (channel && !std::exchange(channel->claimed, true)) {
    release_unclaimed(*channel);
    grant_assembly(*channel);
  }
  return channel;
}

void Multiplexer::fail_sends(ChannelState& channel, boost::system::error_code error) {
  while (!channel.outgoing.empty()) {
    OutItem& item = *channel.outgoing.front();
    queue_.forget(item);  // which may take memory: the others are still there then
    channel.outgoing.pop();
    item.borrowed = 0;
    item.finished(error);
  }
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
    close(live);
}

// --- writing

bool Multiplexer::send_now(ChannelState& channel, ItemKind kind, std::span<const std::byte> payload) {
  if (!channel.sendable || !channel.outgoing.empty()) return false;
  if (payload.size() > limits::frame_sent || queue_.size() >= queue_high_water) return false;
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
  if (queue_.size() >= queue_high_water) return;
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
  while (!turns_.empty() && queue_.size() < queue_high_water) {
    const ChannelPtr channel = std::move(turns_.front());
    turns_.pop_front();
    channel->in_turn = false;
    if (!channel->outgoing.empty() && cut_frame(*channel)) take_turn(channel);
  }
}

// One frame of the channel's first item. False when its credit does not cover any.
bool Multiplexer::cut_frame(ChannelState& channel) {
  OutItem& item = *channel.outgoing.front();
  const std::size_t rest = item.payload.size() - item.cut;
  const std::uint64_t extra = item.begun ? 0 : limits::item_cost;
  if (channel.credit < extra + (rest > 0) && settings_.window != 0) return false;
  const std::uint64_t most = std::min<std::uint64_t>(channel.credit - extra, limits::frame_sent);

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
      store_little<std::uint64_t>(prefix.data(), item.payload.size());
    }
    part = static_cast<std::size_t>(most) - prefix_size;
  }
  const auto kind = static_cast<std::uint8_t>(static_cast<std::uint8_t>(item.kind) | (item.begun ? 0 : frame_begin) |
                                              (ends ? frame_end : 0));
  const FrameHeader header{kind, static_cast<std::uint32_t>(part + prefix_size), channel.id};
  if (settings_.window != 0) channel.credit -= header.length + extra;
  const auto payload = item.payload.subspan(item.cut, part);
  item.begun = true;
  item.cut += part;
  if (part <= copied_payload) {
    queue_.append_frame(header, std::span(prefix).first(prefix_size));
    queue_.append(payload);
  } else {
    item.borrowed += part;
    queue_.append_frame(header, std::span(prefix).first(prefix_size), payload, item);
  }
  if (!ends) return true;
  channel.outgoing.pop();
  if (channel.outgoing.empty() && channel.last_message_due) send_due_last_message(channel);
  if (item.borrowed == 0) item.finished({});
  return !channel.outgoing.empty();
}

void Multiplexer::control(ControlKind kind, std::uint32_t channel, std::span<const std::byte> payload) {
  if (over_) return;
  const std::size_t at = control_.size();
  control_.resize(at + frame_header_size + payload.size());
  store_header(control_.data() + at,
               {static_cast<std::uint8_t>(kind), static_cast<std::uint32_t>(payload.size()), channel});
  std::copy(payload.begin(), payload.end(), control_.data() + at + frame_header_size);
}

void Multiplexer::control_number(ControlKind kind, std::uint64_t number, std::span<const std::byte> rest) {
  std::vector<std::byte> payload(sizeof number);
  store_little(payload.data(), number);
  payload.insert(payload.end(), rest.begin(), rest.end());
  control(kind, 0, payload);
}

// What the peer asks for, and may not be reading.
bool Multiplexer::may_reply() {
  if (queue_.empty()) pump_control();
  return ++replies_queued_ <= limits::control_frames_queued || broken("the peer asks and does not read the answers");
}

// --- the connection

void Multiplexer::hello(std::span<const std::byte> pickle) { control(ControlKind::hello, 0, pickle); }

void Multiplexer::ping(std::uint64_t cookie) { control_number(ControlKind::ping, cookie); }
void Multiplexer::request_status(std::uint64_t number) { control_number(ControlKind::status, number); }
void Multiplexer::request_stacks(std::uint64_t number) { control_number(ControlKind::stacks, number); }

void Multiplexer::reply_status(std::uint64_t number, std::span<const std::byte> pickle) {
  control_number(ControlKind::status_reply, number, pickle);
}

void Multiplexer::reply_stacks(std::uint64_t number, std::string_view text) {
  if (text.size() > limits::stacks_text) text = without_cut_character(text.substr(0, limits::stacks_text));
  const std::string sent = with_question_marks(std::string(text));
  control_number(ControlKind::stacks_reply, number, std::as_bytes(std::span(sent)));
}

void Multiplexer::part(std::string_view name, std::span<const std::byte> zlib) {
  std::vector<std::byte> payload{static_cast<std::byte>(name.size())};
  const auto name_bytes = std::as_bytes(std::span(name));
  payload.insert(payload.end(), name_bytes.begin(), name_bytes.end());
  payload.insert(payload.end(), zlib.begin(), zlib.end());
  control(ControlKind::part, 0, payload);
}

void Multiplexer::need(std::string_view name) { control(ControlKind::need, 0, std::as_bytes(std::span(name))); }

void Multiplexer::reconfigure(ChannelState& channel, StringOptions options) {
  channel.strings = strings_of(options);
  if (channel.closed) return;
  const std::byte flags = flags_of(options);
  control(ControlKind::reconfigure, channel.id, {&flags, 1});
}

void Multiplexer::reconfigure_later_channels(StringOptions options) {
  strings_ = strings_of(options);
  const std::byte flags = flags_of(options);
  control(ControlKind::reconfigure, 0, {&flags, 1});
}

// Takes no memory: when it has run out, everybody still has to be told.
void Multiplexer::fail(boost::system::error_code error) {
  if (over_) return;
  over_ = true;
  while (WriteQueue::Borrowed* const owner = queue_.abandon()) {
    auto& item = static_cast<OutItem&>(*owner);
    item.borrowed = 0;
    if (item.cut == item.payload.size()) item.finished(error);  // else its channel still has it
  }
  // Items refer to channels that may hold items: they are found, still.
  ended_ = std::exchange(channels_, {});
  own_open_ = peer_open_ = 0;
  turns_.clear();
  control_.clear();
  credit_due_.clear();
  for (const auto& [id, channel] : ended_) {
    channel->in_turn = false;
    channel->sendable = channel->receivable = false;
    channel->assembly.reset();
    fail_sends(*channel, error);
    events_.on_end(channel);
  }
}

}  // namespace gangway::detail
