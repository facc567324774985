// The one door between a connection and whatever carries its bytes: pipes, a socket, an
// ssh channel, a test's script.
//
// Thread rule: read, write, limit_backlog and close are called with the connection's mutex held, by one
// thread at a time; none of them blocks. The wait_* handlers run on the thread that leads
// the runtime, without any lock.
#pragma once

#include <sys/uio.h>

#include <boost/system/error_code.hpp>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>

namespace gangway::detail {

/// What waits behind write(), in this process and in the system's buffers.
struct Backlog {
  std::size_t bytes;      // about as many as the stream takes in a tenth of a second
  bool sent_too = false;  // what was sent, and has not been acknowledged, waits as well
};

class ByteStream {
 public:
  using ReadyHandler = std::function<void(boost::system::error_code)>;

  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  /// Bytes read; 0 with no error is the end of the stream. boost::asio::error::would_block
  /// when there is nothing now. Interrupted calls are repeated inside.
  [[nodiscard]] virtual std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) = 0;
  /// Bytes written, perhaps fewer than given; would_block when none can be written now.
  [[nodiscard]] virtual std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) = 0;

  /// Calls the handler once, when a read (write) would make progress or fail, or with
  /// operation_aborted after close(). At most one of each kind at a time.
  virtual void wait_readable(ReadyHandler handler) = 0;
  virtual void wait_writable(ReadyHandler handler) = 0;

  /// What may wait of what write() took; none: as much as there is room for. False: it is not up to the stream, as
  /// for a pipe, which is never slow but for its reader.
  virtual bool limit_backlog(const std::optional<Backlog>&) noexcept { return false; }

  /// Ends both directions. Idempotent.
  virtual void close() noexcept = 0;
};

/// Of read and write: nothing now, ask again when wait_readable or wait_writable says so.
[[nodiscard]] inline bool would_block(const boost::system::error_code& error) noexcept {
  return error.value() == EWOULDBLOCK && error.category() == boost::system::system_category();
}

}  // namespace gangway::detail
