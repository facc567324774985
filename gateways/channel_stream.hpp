// A channel of one gateway as the byte stream of another: bytes items, cut anyhow.
//
// What waits to be sent is bounded here; then the channel's credit decides, so that a far end
// that does not read holds up its own stream and nothing else of the connection below.
//
// Order of locks: the mutex of the upper connection, which calls this, before that of the lower
// one, which is never held where this is called from.
#pragma once

#include <memory>

#include <gangway/bytes.hpp>

#include "channels/channel_handle.hpp"
#include "core/byte_stream.hpp"
#include "gateways/channel_watch.hpp"

namespace gangway::detail {

class ChannelStream final : public ByteStream {
 public:
  explicit ChannelStream(std::shared_ptr<ChannelHandle> channel);
  ~ChannelStream() override { close(); }

  [[nodiscard]] std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override;
  [[nodiscard]] std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override;
  void wait_readable(ReadyHandler handler) override;
  void wait_writable(ReadyHandler handler) override;
  bool limit_backlog(const std::optional<Backlog>& most) noexcept override;
  /// Closes the channel, too.
  void close() noexcept override;

 private:
  class Outgoing;  // what was handed to the channel and is not yet through

  [[nodiscard]] bool next_item(boost::system::error_code& error);

  const std::shared_ptr<ChannelHandle> channel_;
  const std::shared_ptr<ChannelWatch> watch_;
  const std::shared_ptr<Outgoing> outgoing_;
  Bytes item_;  // the one that is being read
  std::size_t taken_ = 0;
  bool closed_ = false;
};

}  // namespace gangway::detail
