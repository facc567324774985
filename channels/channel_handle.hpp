// What all copies of a Channel share: dropping the last one closes the channel.
// Any thread.
#pragma once

#include <memory>
#include <utility>

#include "channels/connection.hpp"

namespace gangway::detail {

class ChannelHandle {
 public:
  ChannelHandle(std::shared_ptr<Connection> of_connection, Connection::ChannelPtr of_state)
      : connection(std::move(of_connection)), state(std::move(of_state)) {}
  ChannelHandle(const ChannelHandle&) = delete;
  ChannelHandle& operator=(const ChannelHandle&) = delete;
  ~ChannelHandle() { connection->release(state); }

  const std::shared_ptr<Connection> connection;
  const Connection::ChannelPtr state;
};

}  // namespace gangway::detail
