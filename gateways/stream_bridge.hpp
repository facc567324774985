// Carries bytes both ways between two byte streams, until one of them ends.
//
// Thread rule: start() is called by any thread; everything else happens on the leading thread.
#pragma once

#include <boost/asio/io_context.hpp>

#include <array>
#include <memory>

#include "core/byte_stream.hpp"

namespace gangway::detail {

class StreamBridge : public std::enable_shared_from_this<StreamBridge> {
 public:
  StreamBridge(std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b) : streams_{std::move(a), std::move(b)} {}

  /// It lives until both streams are closed, which it does itself in the end.
  void start(boost::asio::io_context& io);

 private:
  void move(std::size_t from);
  void end() noexcept;

  struct Waiting {
    std::array<char, 64 * 1024> bytes;
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  std::array<std::unique_ptr<ByteStream>, 2> streams_;
  std::array<Waiting, 2> waiting_;  // read from a stream, not yet written to the other one
  bool over_ = false;
};

}  // namespace gangway::detail
