#include "channels/multiplexer.hpp"

#include <algorithm>
#include <utility>

#include <gangway/error.hpp>

#include "channels/frame_text.hpp"

namespace gangway::detail {

namespace {

constexpr std::uint64_t unlimited = ~std::uint64_t{0};

}  // namespace

Multiplexer::Multiplexer(const Settings& settings, Events& events)
    : settings_(settings), events_(events), parser_(*this), next_own_(settings.side == Side::controller ? 1 : 2) {}

bool Multiplexer::broken(std::string text) {
  failure_ = std::move(text);
  return false;
}

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
  auto channel = std::make_shared<ChannelState>(next_own_);
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

std::vector<Multiplexer::ChannelPtr> Multiplexer::channels() const {
  std::vector<ChannelPtr> all;
  all.reserve(channels_.size());
  for (const auto& [id, channel] : channels_) all.push_back(channel);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  return all;
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

void Multiplexer::close(const ChannelPtr& channel, std::optional<std::string_view> error) {
  if (channel->closed || over_) {
    channel->sendable = channel->receivable = false;
    channel->closed = true;
    return;
  }
  const std::size_t before = control_.size();
  if (error) {
    // Of a longer one the end, where the message is.
    const std::string text = with_question_marks(end_of(*error, limits::error_text));
    control(ControlKind::close_error, channel->id, std::as_bytes(std::span(text)));
  } else {
    control(ControlKind::close, channel->id);
  }
  try {
    forget(channel, Sends::fail);
  } catch (...) {  // no memory: nothing has happened
    control_.resize(before);
    throw;
  }
}

// Nothing of this side's waits, and neither side will send more.
void Multiplexer::close_at_end(const ChannelPtr& channel) {
  control(ControlKind::close, channel->id);
  forget(channel, Sends::keep);
}

// What takes memory comes first. The frames of sends that fail are written to their end,
// from a copy.
void Multiplexer::forget(const ChannelPtr& channel, Sends sends) {
  // The peer may have closed it before the item that refers to it was taken.
  const bool may_be_claimed = !own(channel->id) && !channel->claimed && (!channel->arrived.empty() || channel->error);
  if (may_be_claimed) unclaimed_.emplace(channel->id, channel);
  if (sends == Sends::fail) queue_.forget(channel->id);

  if (channels_.erase(channel->id) > 0) --(own(channel->id) ? own_open_ : peer_open_);
  channel->closed = true;
  channel->sendable = channel->receivable = false;
  channel->assembly.reset();
  fail_sends(*channel, errc::channel_closed);
  if (!may_be_claimed) {
    release_unclaimed(*channel);
  } else if (unclaimed_.size() > settings_.peer_channels) {
    release_unclaimed(*unclaimed_.begin()->second);
    unclaimed_.erase(unclaimed_.begin());
  }
  events_.on_end(channel);
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
