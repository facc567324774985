// A byte stream over one or two descriptors: the pipes of a child process, a socket, an
// agent's standard input and output.
//
// Thread rule and meaning of the members: byte_stream.hpp. The descriptors are switched to
// O_NONBLOCK, which others notice who share their open file description: give it
// descriptors that are its own, or duplicates of some that nobody else uses meanwhile.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "core/byte_stream.hpp"
#include "core/file_descriptor.hpp"
#include "gateways/socket_backlog.hpp"

namespace gangway::detail {

class FdStream final : public ByteStream {
 public:
  /// For a socket give a duplicate as the second one. For a pipe whose reader is another
  /// process, `held` may be a read end of it: a pipe that has one here is never broken, so
  /// that writing needs no care for SIGPIPE, and the end shows on `read_end` alone. Throws
  /// Error when the system refuses to watch them (EPERM: a regular file).
  FdStream(boost::asio::io_context& io, FileDescriptor read_end, FileDescriptor write_end, FileDescriptor held = {});
  ~FdStream() override;

  [[nodiscard]] std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override;
  [[nodiscard]] std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override;
  void wait_readable(ReadyHandler handler) override;
  void wait_writable(ReadyHandler handler) override;
  bool limit_backlog(const std::optional<Backlog>& most) noexcept override;
  void close() noexcept override;

 private:
  [[nodiscard]] ssize_t write_quietly(std::span<const iovec> buffers) noexcept;

  boost::asio::posix::stream_descriptor read_end_;
  boost::asio::posix::stream_descriptor write_end_;
  FileDescriptor held_;
  SocketBacklog backlog_;
  // How to be told of a broken pipe by EPIPE alone: sockets can be asked; on a pipe SIGPIPE
  // must be blocked meanwhile (three more system calls, 0.4 us), unless the program ignores
  // it anyway or the pipe cannot break.
  enum class BrokenPipe { no_signal, no_signal_flag, block_signal } broken_pipe_;
};

}  // namespace gangway::detail
