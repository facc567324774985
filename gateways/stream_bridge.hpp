// Carries bytes both ways between a stream that may be slow and one on this machine, until one of them ends. What waits
// for the former is bounded by its pace (WritePace).
//
// Thread rule: start() is called by any thread; everything else happens on the leading thread.
#pragma once

#include <boost/asio/io_context.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>

#include "channels/write_pace.hpp"
#include "core/byte_stream.hpp"

namespace gangway::detail {

class StreamBridge : public std::enable_shared_from_this<StreamBridge> {
 public:
  /// `on_end` once, when both are closed.
  StreamBridge(std::unique_ptr<ByteStream> far, std::unique_ptr<ByteStream> near, std::function<void()> on_end = {});

  /// It lives until both streams are closed, which it does itself in the end.
  void start(boost::asio::io_context& io);
  void close() noexcept;

 private:
  struct Direction {
    Direction(ByteStream& source, ByteStream& target) : from(source), to(target) {}
    void limit_backlog() noexcept;

    ByteStream& from;
    ByteStream& to;
    WritePace pace;                  // of `to`
    std::size_t begin = 0, end = 0;  // read, and not yet written
    std::array<char, WritePace::most> bytes;
  };
  void move(Direction& direction);
  void wait_writable(Direction& direction);

  const std::unique_ptr<ByteStream> far_;
  const std::unique_ptr<ByteStream> near_;
  Direction to_far_;
  Direction to_near_;
  std::function<void()> on_end_;
  bool over_ = false;
};

}  // namespace gangway::detail
