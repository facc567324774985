#include <gangway/multi_channel.hpp>

#include <algorithm>
#include <mutex>

#include <gangway/error.hpp>

#include "channels/arrival_queue.hpp"

namespace gangway {

struct MultiChannel::Members {
  explicit Members(std::vector<Channel> all) : channels(std::move(all)) {}
  const std::vector<Channel> channels;
  std::mutex mutex;  // guards the queue's making
  std::shared_ptr<detail::ArrivalQueue> queue;
};

MultiChannel::MultiChannel(std::vector<Channel> channels) : members_(std::make_shared<Members>(std::move(channels))) {}

std::size_t MultiChannel::size() const noexcept { return members_->channels.size(); }
const Channel& MultiChannel::operator[](std::size_t at) const { return members_->channels.at(at); }
std::vector<Channel>::const_iterator MultiChannel::begin() const noexcept { return members_->channels.begin(); }
std::vector<Channel>::const_iterator MultiChannel::end() const noexcept { return members_->channels.end(); }
bool MultiChannel::contains(const Channel& channel) const noexcept {
  return std::find(begin(), end(), channel) != end();
}

std::vector<Value> MultiChannel::receive_each() {
  std::vector<Value> items;
  for (Channel channel : *this) items.push_back(channel.receive());
  return items;
}

std::vector<std::pair<Channel, Value>> MultiChannel::receive_each_with_channel() {
  std::vector<std::pair<Channel, Value>> items;
  for (Channel channel : *this) {
    Value item = channel.receive();
    items.emplace_back(std::move(channel), std::move(item));
  }
  return items;
}

void MultiChannel::waitclose() {
  std::optional<RemoteError> first;
  for (Channel channel : *this) {
    try {
      channel.waitclose();
    } catch (const RemoteError& error) {
      if (!first) first = error;
    }
  }
  if (first) throw RemoteError(*first);
}

ReceiveQueue MultiChannel::make_receive_queue(std::optional<Value> endmarker) {
  const std::lock_guard lock(members_->mutex);
  if (!members_->queue)
    members_->queue = std::make_shared<detail::ArrivalQueue>(members_->channels, std::move(endmarker));
  return ReceiveQueue(members_->queue);
}

std::pair<Channel, Value> ReceiveQueue::get(std::optional<Timeout> timeout) {
  return queue_->get(detail::deadline_after(timeout));
}
std::size_t ReceiveQueue::size() const { return queue_->size(); }

}  // namespace gangway
