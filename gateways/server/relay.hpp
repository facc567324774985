// Carries bytes between two streams, both ways, until one of them ends; each direction has a
// buffer, and reads no more than the other side takes.
//
// Leading thread only.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "core/byte_stream.hpp"

namespace gangway::detail {

class Relay : public std::enable_shared_from_this<Relay> {
 public:
  /// `on_end` once, when both are closed.
  Relay(std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b, std::function<void()> on_end);
  void start();
  void close();

 private:
  struct Direction {
    ByteStream* from;
    ByteStream* to;
    std::vector<char> buffer;
    std::size_t held = 0;
    std::size_t sent = 0;
  };
  void pump(Direction& direction);

  const std::unique_ptr<ByteStream> a_;
  const std::unique_ptr<ByteStream> b_;
  std::array<Direction, 2> directions_;
  std::function<void()> on_end_;
};

}  // namespace gangway::detail
