#include "gateways/deferred_stream.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <utility>

namespace gangway::detail {

using boost::system::error_code;

void DeferredStream::Door::open(std::unique_ptr<ByteStream> stream) {
  std::unique_lock lock(mutex_);
  if (closed_ || failed_) {
    stream->close();
    return;
  }
  stream_ = std::move(stream);
  stream_->limit_backlog(backlog_);
  opened_.store(stream_.get(), std::memory_order_release);
  wake(lock);
}

void DeferredStream::Door::fail(error_code error) {
  std::unique_lock lock(mutex_);
  if (closed_ || failed_ || stream_) return;
  failed_ = error;
  wake(lock);
}

void DeferredStream::Door::wake(std::unique_lock<std::mutex>& lock) {
  const ReadyHandler reader = std::exchange(reader_, nullptr);
  const ReadyHandler writer = std::exchange(writer_, nullptr);
  lock.unlock();
  if (reader) reader({});
  if (writer) writer({});
}

error_code DeferredStream::not_open() const {
  const std::lock_guard lock(door_->mutex_);
  if (door_->closed_) return boost::asio::error::operation_aborted;
  if (door_->failed_) return door_->failed_;
  return boost::asio::error::would_block;
}

void DeferredStream::note_end(error_code error) {
  if (would_block(error)) return;
  if (const auto on_end = std::exchange(observer_.on_end, nullptr)) on_end(error);
}

std::size_t DeferredStream::read(std::span<const iovec> buffers, error_code& error) {
  ByteStream* const stream = door_->opened_.load(std::memory_order_acquire);
  std::size_t size = 0;
  if (stream != nullptr)
    size = stream->read(buffers, error);
  else
    error = not_open();
  if (error)
    note_end(error);
  else if (size == 0)
    note_end(boost::asio::error::eof);
  return size;
}

std::size_t DeferredStream::write(std::span<const iovec> buffers, error_code& error) {
  ByteStream* const stream = door_->opened_.load(std::memory_order_acquire);
  std::size_t size = 0;
  if (stream != nullptr)
    size = stream->write(buffers, error);
  else
    error = not_open();
  if (error) note_end(error);
  return size;
}

void DeferredStream::wait_readable(ReadyHandler handler) {
  std::unique_lock lock(door_->mutex_);
  if (door_->stream_) {
    lock.unlock();
    door_->stream_->wait_readable(std::move(handler));
  } else {
    door_->reader_ = std::move(handler);
  }
}

void DeferredStream::wait_writable(ReadyHandler handler) {
  std::unique_lock lock(door_->mutex_);
  if (door_->stream_) {
    lock.unlock();
    door_->stream_->wait_writable(std::move(handler));
  } else {
    door_->writer_ = std::move(handler);
  }
}

bool DeferredStream::limit_backlog(const std::optional<Backlog>& most) noexcept {
  const std::lock_guard lock(door_->mutex_);
  door_->backlog_ = most;
  return !door_->stream_ || door_->stream_->limit_backlog(most);
}

void DeferredStream::close() noexcept {
  {
    const std::lock_guard lock(door_->mutex_);
    if (std::exchange(door_->closed_, true)) return;
    if (door_->stream_) door_->stream_->close();
    for (ReadyHandler* const waiting : {&door_->reader_, &door_->writer_}) {
      if (!*waiting) continue;
      boost::asio::post(
          door_->io_, [handler = std::exchange(*waiting, nullptr)] { handler(boost::asio::error::operation_aborted); });
    }
  }
  if (observer_.on_close) observer_.on_close();
}

}  // namespace gangway::detail
