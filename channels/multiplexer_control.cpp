// Control frames, in and out.
#include <algorithm>
#include <utility>

#include <gangway/error.hpp>

#include "channels/frame_text.hpp"
#include "channels/multiplexer.hpp"
#include "core/utf8.hpp"

namespace gangway::detail {

namespace {

// Of the payload of RECONFIGURE.
constexpr std::uint8_t option_py2str_as_py3str = 1;
constexpr std::uint8_t option_py3str_as_py2str = 2;

Strings strings_of(StringOptions options) { return options.py3str_as_py2str ? Strings::as_bytes : Strings::as_text; }

std::byte flags_of(StringOptions options) {
  return static_cast<std::byte>((options.py2str_as_py3str ? option_py2str_as_py3str : 0) |
                                (options.py3str_as_py2str ? option_py3str_as_py2str : 0));
}

}  // namespace

// --- in

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
    case ControlKind::close: forget(channel, Sends::fail); return true;
    case ControlKind::last_message:
      channel->receivable = false;
      channel->assembly.reset();
      if (!channel->sendable && !channel->last_message_due)
        close_at_end(channel);
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

// What the peer asks for, and may not be reading.
bool Multiplexer::may_reply() {
  if (queue_.empty()) pump_control();
  return ++replies_queued_ <= limits::control_frames_queued || broken("the peer asks and does not read the answers");
}

// --- out

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

void Multiplexer::hello(std::span<const std::byte> pickle) { control(ControlKind::hello, 0, pickle); }

void Multiplexer::ping(std::uint64_t cookie) { control_number(ControlKind::ping, cookie); }
void Multiplexer::request_status(std::uint64_t number) { control_number(ControlKind::status, number); }
void Multiplexer::request_stacks(std::uint64_t number) { control_number(ControlKind::stacks, number); }

void Multiplexer::reply_status(std::uint64_t number, std::span<const std::byte> pickle) {
  control_number(ControlKind::status_reply, number, pickle);
}

void Multiplexer::reply_stacks(std::uint64_t number, std::string_view text) {
  const std::string sent = with_question_marks(beginning_of(text, limits::stacks_text));
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

}  // namespace gangway::detail
