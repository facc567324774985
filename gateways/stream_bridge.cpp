#include "gateways/stream_bridge.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

namespace gangway::detail {

namespace {

constexpr int rounds_in_a_row = 16;  // then others have a turn

}  // namespace

void StreamBridge::start(boost::asio::io_context& io) {
  for (const std::size_t from : {0, 1}) boost::asio::post(io, [self = shared_from_this(), from] { self->move(from); });
}

void StreamBridge::move(std::size_t from) {
  ByteStream& source = *streams_[from];
  ByteStream& target = *streams_[1 - from];
  Waiting& waiting = waiting_[from];
  const auto again = [self = shared_from_this(), from](boost::system::error_code error) {
    if (!error) self->move(from);
  };
  for (int round = 0; !over_ && round < rounds_in_a_row; ++round) {
    boost::system::error_code error;
    if (waiting.begin == waiting.end) {
      waiting.begin = waiting.end = 0;
      const iovec room{waiting.bytes.data(), waiting.bytes.size()};
      waiting.end = source.read({&room, 1}, error);
      if (error == boost::asio::error::would_block) return source.wait_readable(again);
      if (error || waiting.end == 0) return end();
    }
    const iovec bytes{waiting.bytes.data() + waiting.begin, waiting.end - waiting.begin};
    waiting.begin += target.write({&bytes, 1}, error);
    if (error == boost::asio::error::would_block) return target.wait_writable(again);
    if (error) return end();
  }
  if (!over_) (waiting.begin == waiting.end ? source.wait_readable(again) : target.wait_writable(again));
}

void StreamBridge::end() noexcept {
  over_ = true;
  for (const auto& stream : streams_) stream->close();
}

}  // namespace gangway::detail
