#include "gateways/channel_stream.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

using boost::system::error_code;

// What may wait for the lower connection: a few of its frames keep it busy, and each byte here
// stands before the next control frame of the upper one.
constexpr std::size_t most_pending = 256 * 1024;

void call_later(Runtime& runtime, ByteStream::ReadyHandler handler, error_code error) {
  boost::asio::post(runtime.io(), [handler = std::move(handler), error] { handler(error); });
  runtime.keep_going();
}

}  // namespace

// Its mutex is taken after both connections'.
class ChannelStream::Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  explicit Outgoing(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}

  /// Bytes that may be sent now.
  [[nodiscard]] std::size_t room(error_code& error) {
    const std::lock_guard lock(mutex_);
    error = failure_;
    return most_ - std::min(pending_, most_);
  }
  void limit(std::size_t most) noexcept {
    const std::lock_guard lock(mutex_);
    most_ = most;
  }
  void send(ChannelHandle& channel, Bytes piece) {
    const std::size_t size = piece.size();
    {
      const std::lock_guard lock(mutex_);
      pending_ += size;
    }
    (void)channel.connection->send_later(
        channel.state, ItemKind::bytes, std::move(piece),
        [self = shared_from_this(), size](error_code error) { self->sent(size, error); });
  }
  void wait(ReadyHandler handler) {
    std::unique_lock lock(mutex_);
    if (!closed_ && !failure_ && pending_ >= most_) {
      writer_ = std::move(handler);
      return;
    }
    const error_code error = closed_ ? boost::asio::error::operation_aborted : error_code();
    lock.unlock();
    call_later(*runtime_, std::move(handler), error);
  }
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    auto writer = std::exchange(writer_, {});
    lock.unlock();
    if (writer) call_later(*runtime_, std::move(writer), boost::asio::error::operation_aborted);
  }

 private:
  // With the mutex of the lower connection.
  void sent(std::size_t size, error_code error) {
    std::unique_lock lock(mutex_);
    pending_ -= size;
    if (error && !failure_) failure_ = error;
    auto writer = pending_ < most_ || failure_ ? std::exchange(writer_, {}) : ReadyHandler();
    lock.unlock();
    if (writer) call_later(*runtime_, std::move(writer), {});
  }

  const std::shared_ptr<Runtime> runtime_;
  std::mutex mutex_;  // guards what follows
  std::size_t most_ = most_pending;
  std::size_t pending_ = 0;
  error_code failure_;
  ReadyHandler writer_;
  bool closed_ = false;
};

ChannelStream::ChannelStream(std::shared_ptr<ChannelHandle> channel)
    : channel_(std::move(channel)),
      watch_(std::make_shared<ChannelWatch>(channel_)),
      outgoing_(std::make_shared<Outgoing>(channel_->connection->runtime())) {}

// Makes the next item the current one. The channel's owner knows better why it has ended: here
// that is the end of the stream.
bool ChannelStream::next_item(error_code& error) {
  try {
    auto item = channel_->connection->try_receive(*channel_->state);
    if (!item) {
      error = boost::asio::error::would_block;
      return false;
    }
    if (item->kind != ItemKind::bytes) {
      error = errc::bad_item;
      return false;
    }
    item_ = std::move(item->payload);
    taken_ = 0;
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::size_t ChannelStream::read(std::span<const iovec> buffers, error_code& error) {
  error = {};
  std::size_t sum = 0;
  for (const iovec& buffer : buffers) {
    for (std::size_t filled = 0; filled < buffer.iov_len;) {
      while (taken_ == item_.size()) {
        if (next_item(error)) continue;
        if (sum > 0) error = {};  // it comes again
        return sum;
      }
      const std::size_t size = std::min(buffer.iov_len - filled, item_.size() - taken_);
      std::memcpy(static_cast<std::byte*>(buffer.iov_base) + filled, item_.data() + taken_, size);
      filled += size;
      taken_ += size;
      sum += size;
    }
  }
  return sum;
}

std::size_t ChannelStream::write(std::span<const iovec> buffers, error_code& error) {
  std::size_t all = 0;
  for (const iovec& buffer : buffers) all += buffer.iov_len;
  const std::size_t size = std::min({all, outgoing_->room(error), limits::frame_sent});
  if (error) return 0;
  if (size == 0) {
    error = boost::asio::error::would_block;
    return 0;
  }
  Bytes piece;
  piece.resize_uninitialized(size);
  std::size_t at = 0;
  for (const iovec& buffer : buffers) {
    const std::size_t part = std::min(buffer.iov_len, size - at);
    std::memcpy(piece.data() + at, buffer.iov_base, part);
    at += part;
  }
  try {
    outgoing_->send(*channel_, std::move(piece));
  } catch (const Error& problem) {
    error = problem.code();
    return 0;
  }
  return size;
}

void ChannelStream::wait_readable(ReadyHandler handler) {
  if (closed_)
    return call_later(*channel_->connection->runtime(), std::move(handler), boost::asio::error::operation_aborted);
  if (taken_ < item_.size()) return call_later(*channel_->connection->runtime(), std::move(handler), {});
  watch_->wait_item(std::move(handler));
}

void ChannelStream::wait_writable(ReadyHandler handler) { outgoing_->wait(std::move(handler)); }

bool ChannelStream::limit_backlog(const std::optional<Backlog>& most) noexcept {
  outgoing_->limit(most ? std::min(most->bytes, most_pending) : most_pending);
  return true;
}

void ChannelStream::close() noexcept {
  if (std::exchange(closed_, true)) return;
  try {
    if (auto reader = watch_->cancel())
      call_later(*channel_->connection->runtime(), std::move(reader), boost::asio::error::operation_aborted);
    outgoing_->close();
    channel_->connection->close(channel_->state);
  } catch (const std::exception& problem) {
    trace::log("closing a relayed stream: ", problem.what());
  }
}

}  // namespace gangway::detail
