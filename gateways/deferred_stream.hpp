// A byte stream that is not there yet: it gives and takes nothing (would_block) until somebody
// opens it with the real one, or says that there will be none.
//
// Thread rule: the stream as in byte_stream.hpp; open() and fail() are called on the leading
// thread, without locks.
#pragma once

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "core/byte_stream.hpp"

namespace gangway::detail {

class DeferredStream final : public ByteStream {
 public:
  /// Who looks on. Called with the connection's mutex held: must neither block nor call back.
  struct Observer {
    /// The first end of the stream, or error, that a read or write came upon.
    std::function<void(boost::system::error_code)> on_end;
    std::function<void()> on_close;
  };

  /// The other side of it, which may outlive it.
  class Door {
   public:
    explicit Door(boost::asio::io_context& io) : io_(io) {}
    /// A stream that was closed meanwhile closes this one.
    void open(std::unique_ptr<ByteStream> stream);
    void fail(boost::system::error_code error);

   private:
    friend class DeferredStream;
    /// Whoever waits looks again.
    void wake(std::unique_lock<std::mutex>& lock);

    boost::asio::io_context& io_;
    std::mutex mutex_;  // guards what follows until there is a stream; then the connection's does
    std::unique_ptr<ByteStream> stream_;
    std::atomic<ByteStream*> opened_{nullptr};
    std::optional<Backlog> backlog_;  // for the stream that comes
    boost::system::error_code failed_;
    bool closed_ = false;
    ReadyHandler reader_;
    ReadyHandler writer_;
  };

  DeferredStream(std::shared_ptr<Door> door, Observer observer)
      : door_(std::move(door)), observer_(std::move(observer)) {}
  ~DeferredStream() override { close(); }

  [[nodiscard]] std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override;
  [[nodiscard]] std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override;
  void wait_readable(ReadyHandler handler) override;
  void wait_writable(ReadyHandler handler) override;
  bool limit_backlog(const std::optional<Backlog>& most) noexcept override;
  void close() noexcept override;

 private:
  [[nodiscard]] boost::system::error_code not_open() const;
  void note_end(boost::system::error_code error);

  const std::shared_ptr<Door> door_;
  Observer observer_;
};

}  // namespace gangway::detail
