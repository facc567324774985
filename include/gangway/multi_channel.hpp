// MultiChannel: several channels, of one or of many gateways, that are used together; and
// ReceiveQueue: what arrives on them, in one line.
//
// Handles: copies share the channels and the queue. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <gangway/channel.hpp>

namespace gangway {

/// Gets what arrives on the channels of a MultiChannel, in the order of arrival. An item
/// stays in its channel's window until it is taken from here: who does not read the queue
/// holds up the senders, and no memory grows.
class ReceiveQueue {
 public:
  using Timeout = Channel::Timeout;

  /// The channel and its item, or, if there is one, the end marker: once for each channel,
  /// behind its last item; Channel::waitclose() tells of its error then. Throws TimeoutError;
  /// EndOfChannel when all channels have ended and everything was taken; LoadError for what
  /// cannot be decoded, which is lost then.
  [[nodiscard]] std::pair<Channel, Value> get(std::optional<Timeout> timeout = {});
  /// How many items and end markers are there now.
  [[nodiscard]] std::size_t size() const;

  friend bool operator==(const ReceiveQueue&, const ReceiveQueue&) noexcept = default;

 private:
  friend class MultiChannel;
  explicit ReceiveQueue(std::shared_ptr<detail::ArrivalQueue> queue) noexcept : queue_(std::move(queue)) {}

  std::shared_ptr<detail::ArrivalQueue> queue_;
};

class MultiChannel {
 public:
  explicit MultiChannel(std::vector<Channel> channels = {});

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] const Channel& operator[](std::size_t at) const;
  [[nodiscard]] std::vector<Channel>::const_iterator begin() const noexcept;
  [[nodiscard]] std::vector<Channel>::const_iterator end() const noexcept;
  [[nodiscard]] bool contains(const Channel& channel) const noexcept;

  /// Sends the item on each, in order. Throws as Channel::send, the ones before have it then.
  template <class T>
  void send_each(const T& item) {
    const Value value = value_from(item);
    for (Channel channel : *this) channel.send(value);
  }
  /// One item from each, in order; waits for each. Throws as Channel::receive: has_callback
  /// once there is a queue.
  [[nodiscard]] std::vector<Value> receive_each();
  [[nodiscard]] std::vector<std::pair<Channel, Value>> receive_each_with_channel();

  /// Waits for the end of all, then throws the first RemoteError. ConnectionLost is thrown
  /// at once.
  void waitclose();

  /// What arrives on the channels from now on, with what is waiting there; the same queue
  /// at every call, as it was made first. Error (has_callback) if one has a callback.
  [[nodiscard]] ReceiveQueue make_receive_queue(std::optional<Value> endmarker = {});

 private:
  struct Members;
  std::shared_ptr<Members> members_;
};

}  // namespace gangway
