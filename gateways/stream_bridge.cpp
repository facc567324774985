#include "gateways/stream_bridge.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace gangway::detail {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int rounds_in_a_row = 8;  // then others have a turn

}  // namespace

StreamBridge::StreamBridge(std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b, std::function<void()> on_end)
    : streams_{std::move(a), std::move(b)},
      directions_{Direction(*streams_[0], *streams_[1]), Direction(*streams_[1], *streams_[0])},
      on_end_(std::move(on_end)) {
  for (Direction& direction : directions_) direction.limit_backlog();
}

void StreamBridge::Direction::limit_backlog() noexcept {
  if (!to.limit_backlog(pace->backlog())) pace.reset();
}

void StreamBridge::start(boost::asio::io_context& io) {
  for (Direction& direction : directions_)
    boost::asio::post(io, [self = shared_from_this(), &direction] { self->move(direction); });
}

void StreamBridge::move(Direction& direction) {
  const auto again = [self = shared_from_this(), &direction](error_code error) {
    if (!error) self->move(direction);
  };
  std::size_t written = 0;
  for (int rounds = 0; !over_;) {
    error_code error;
    if (direction.begin < direction.end) {
      const iovec from{direction.bytes.data() + direction.begin, direction.end - direction.begin};
      const std::size_t size = direction.to.write({&from, 1}, error);
      if (would_block(error)) return wait_writable(direction, written);
      if (error) return close();
      direction.begin += size;
      written += size;
      continue;
    }
    if (direction.pace && !direction.pace->is_fast() && written >= direction.pace->limit())
      return wait_writable(direction, written);
    if (++rounds > rounds_in_a_row) return direction.from.wait_readable(again);
    const iovec into{direction.bytes.data(), direction.pace ? direction.pace->limit() : WritePace::most};
    direction.begin = 0;
    direction.end = direction.from.read({&into, 1}, error);
    if (would_block(error)) return direction.from.wait_readable(again);
    if (error) return close();
    // The end: what the other stream still holds goes out first.
    if (direction.end == 0)
      return direction.to.wait_writable([self = shared_from_this()](error_code) { self->close(); });
  }
}

void StreamBridge::wait_writable(Direction& direction, std::size_t written) {
  direction.to.wait_writable([self = shared_from_this(), &direction, written, since = Clock::now()](error_code error) {
    if (error) return;
    if (direction.pace && direction.pace->observe(written, Clock::now() - since)) direction.limit_backlog();
    self->move(direction);
  });
}

void StreamBridge::close() noexcept {
  if (std::exchange(over_, true)) return;
  for (const auto& stream : streams_) stream->close();
  if (const auto on_end = std::exchange(on_end_, nullptr)) on_end();
}

}  // namespace gangway::detail
