// Carries bytes both ways between two byte streams, until one of them ends. Each direction holds no more than
// the other side takes in a tenth of a second (WritePace).
//
// Thread rule: start() is called by any thread; everything else happens on the leading thread.
#pragma once

#include <boost/asio/io_context.hpp>

#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "channels/write_pace.hpp"
#include "core/byte_stream.hpp"

namespace gangway::detail {

class StreamBridge : public std::enable_shared_from_this<StreamBridge> {
 public:
  /// `on_end` once, when both are closed.
  StreamBridge(std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b, std::function<void()> on_end = {});

  /// It lives until both streams are closed, which it does itself in the end.
  void start(boost::asio::io_context& io);
  void close() noexcept;

 private:
  struct Direction {
    Direction(ByteStream& source, ByteStream& target) : from(source), to(target) {}
    void limit_backlog() noexcept;

    ByteStream& from;
    ByteStream& to;
    std::optional<WritePace> pace{std::in_place};  // of `to`; none: it has none
    std::size_t begin = 0, end = 0;                // read, and not yet written
    std::array<char, WritePace::most> bytes;
  };
  void move(Direction& direction);
  void wait_writable(Direction& direction, std::size_t written);

  const std::array<std::unique_ptr<ByteStream>, 2> streams_;
  std::array<Direction, 2> directions_;
  std::function<void()> on_end_;
  bool over_ = false;
};

}  // namespace gangway::detail
