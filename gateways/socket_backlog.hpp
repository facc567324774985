// How much a socket may hold of what was written to it: ByteStream::limit_backlog.
#pragma once

#include <optional>

#include "core/byte_stream.hpp"

namespace gangway::detail {

class SocketBacklog {
 public:
  /// Any descriptor.
  explicit SocketBacklog(int fd) noexcept;
  /// False: it is neither a TCP nor a unix socket.
  bool limit(int fd, const std::optional<Backlog>& most) noexcept;

 private:
  enum class Kind { none, unix_socket, tcp } kind_ = Kind::none;
  void limit_tcp(int fd, const std::optional<Backlog>& most) noexcept;

  int buffer_ = 0;                       // of a unix socket, as the system made it
  bool buffer_is_ours_ = false;          // of a TCP connection, from then on not the system's
  std::optional<double> shortest_trip_;  // of a TCP connection, in seconds
};

}  // namespace gangway::detail
