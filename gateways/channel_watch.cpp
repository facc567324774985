#include "gateways/channel_watch.hpp"

#include <boost/asio/post.hpp>

#include <new>
#include <utility>

#include "core/trace.hpp"

namespace gangway::detail {

void ChannelWatch::wait_item(Then then) {
  then_ = std::move(then);
  self_ = shared_from_this();
  channel_->connection->add_receiver(channel_->state, *this);
}

void ChannelWatch::wait_end(Then then) {
  then_ = std::move(then);
  self_ = shared_from_this();
  channel_->connection->add_end_waiter(channel_->state, *this);
}

ChannelWatch::Then ChannelWatch::cancel() {
  const auto self = shared_from_this();
  if (!channel_->connection->remove_waiter(channel_->state, *this)) return {};
  self_.reset();
  return std::exchange(then_, {});
}

// With the mutex of the channel's connection.
void ChannelWatch::wake() {
  const auto self = std::move(self_);
  try {
    const auto& runtime = channel_->connection->runtime();
    boost::asio::post(runtime->io(), [self, then = std::exchange(then_, {})] { then({}); });
    runtime->keep_going();
  } catch (const std::bad_alloc&) {
    trace::log("channel ", channel_->state->id, ": no memory, it is not looked at any more");
  }
}

}  // namespace gangway::detail
