#include "gateways/stream_bridge.hpp"

#include <boost/asio/post.hpp>

#include <chrono>
#include <utility>

namespace gangway::detail {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int rounds_in_a_row = 8;  // then others have a turn

}  // namespace

StreamBridge::StreamBridge(std::unique_ptr<ByteStream> far, std::unique_ptr<ByteStream> near,
                           std::function<void()> on_end)
    : far_(std::move(far)),
      near_(std::move(near)),
      to_far_(*near_, *far_),
      to_near_(*far_, *near_),
      on_end_(std::move(on_end)) {
  to_near_.pace.lift();
  to_far_.limit_backlog();
}

void StreamBridge::Direction::limit_backlog() noexcept {
  if (!to.limit_backlog(pace.backlog())) pace.lift();
}

void StreamBridge::start(boost::asio::io_context& io) {
  for (Direction* const direction : {&to_far_, &to_near_})
    boost::asio::post(io, [self = shared_from_this(), direction] { self->move(*direction); });
}

void StreamBridge::move(Direction& direction) {
  const auto again = [self = shared_from_this(), &direction](error_code error) {
    if (error) return self->close();
    self->move(direction);
  };
  for (int rounds = 0; !over_;) {
    error_code error;
    if (direction.begin < direction.end) {
      const iovec from{direction.bytes.data() + direction.begin, direction.end - direction.begin};
      const std::size_t size = direction.to.write({&from, 1}, error);
      if (would_block(error)) return wait_writable(direction);
      if (error) return close();
      direction.begin += size;
      direction.pace.wrote(size);
      continue;
    }
    if (direction.pace.is_due()) return wait_writable(direction);
    if (++rounds > rounds_in_a_row) return direction.from.wait_readable(again);
    const iovec into{direction.bytes.data(), direction.pace.limit()};
    direction.begin = 0;
    direction.end = direction.from.read({&into, 1}, error);
    if (would_block(error)) {
      direction.pace.rest();
      return direction.from.wait_readable(again);
    }
    if (error) return close();
    if (direction.end > 0) continue;
    // The end. What the far stream still holds goes out first; what the near one was given is the system's.
    if (&direction == &to_near_) return close();
    return direction.to.wait_writable([self = shared_from_this()](error_code) { self->close(); });
  }
}

void StreamBridge::wait_writable(Direction& direction) {
  direction.to.wait_writable([self = shared_from_this(), &direction, since = Clock::now()](error_code error) {
    if (error) return self->close();
    if (direction.pace.waited(Clock::now() - since)) direction.limit_backlog();
    self->move(direction);
  });
}

void StreamBridge::close() noexcept {
  if (std::exchange(over_, true)) return;
  far_->close();
  near_->close();
  if (const auto on_end = std::exchange(on_end_, nullptr)) on_end();
}

}  // namespace gangway::detail
