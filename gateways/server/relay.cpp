#include "gateways/server/relay.hpp"

#include <boost/asio/error.hpp>

#include <utility>

namespace gangway::detail {

using boost::system::error_code;

namespace {

constexpr std::size_t buffer_size = 128 * 1024;
// Then the other connections have their turn.
constexpr int reads_in_a_row = 8;

bool would_block(const error_code& error) {
  return error == boost::asio::error::would_block || error == boost::asio::error::try_again;
}

}  // namespace

Relay::Relay(std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b, std::function<void()> on_end)
    : a_(std::move(a)),
      b_(std::move(b)),
      directions_{Direction{a_.get(), b_.get(), std::vector<char>(buffer_size)},
                  Direction{b_.get(), a_.get(), std::vector<char>(buffer_size)}},
      on_end_(std::move(on_end)) {}

void Relay::start() {
  const auto self = shared_from_this();  // on_end may drop the owner's reference
  for (Direction& direction : directions_) pump(direction);
}

void Relay::close() {
  a_->close();
  b_->close();
  if (const auto on_end = std::exchange(on_end_, nullptr)) on_end();
}

void Relay::pump(Direction& direction) {
  const auto again = [self = shared_from_this(), &direction](error_code error) {
    if (!error && self->on_end_) self->pump(direction);
  };
  for (int reads = 0; on_end_;) {
    error_code error;
    if (direction.sent < direction.held) {
      const iovec from{direction.buffer.data() + direction.sent, direction.held - direction.sent};
      direction.sent += direction.to->write({&from, 1}, error);
      if (would_block(error)) return direction.to->wait_writable(again);
      if (error) return close();
      continue;
    }
    if (++reads > reads_in_a_row) return direction.from->wait_readable(again);
    const iovec into{direction.buffer.data(), direction.buffer.size()};
    direction.sent = 0;
    direction.held = direction.from->read({&into, 1}, error);
    if (would_block(error)) return direction.from->wait_readable(again);
    if (error) return close();
    // The end: what the other stream still holds goes out first.
    if (direction.held == 0)
      return direction.to->wait_writable([self = shared_from_this()](error_code) { self->close(); });
  }
}

}  // namespace gangway::detail
