// Tells when something has come on a channel, without a thread that waits for it.
//
// Thread rule: any thread. What is told runs on the leading thread, without locks.
// Lifetime: keeps itself alive while it waits; holds the channel.
#pragma once

#include <boost/system/error_code.hpp>

#include <functional>
#include <memory>

#include "channels/channel_handle.hpp"

namespace gangway::detail {

class ChannelWatch final : public ChannelWaiter, public std::enable_shared_from_this<ChannelWatch> {
 public:
  using Then = std::function<void(boost::system::error_code)>;  // always without an error

  explicit ChannelWatch(std::shared_ptr<ChannelHandle> channel) : channel_(std::move(channel)) {}

  /// Calls `then` once, when there is an item, or the end. One wait at a time.
  void wait_item(Then then);
  /// When nothing more will come; items may still be there.
  void wait_end(Then then);
  /// Gives `then` back if it was still waiting.
  Then cancel();

 private:
  void wake() override;

  const std::shared_ptr<ChannelHandle> channel_;
  Then then_;
  std::shared_ptr<ChannelWatch> self_;  // while it waits
};

}  // namespace gangway::detail
