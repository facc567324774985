// Connects to the first of some addresses that answers, without blocking.
//
// Leading thread only.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <vector>

#include "core/file_descriptor.hpp"
#include "gateways/socket_address.hpp"

namespace gangway::detail {

class SocketConnect : public std::enable_shared_from_this<SocketConnect> {
 public:
  /// A connected descriptor, or what the last address had to say.
  using Done = std::function<void(FileDescriptor, boost::system::error_code, const SocketAddress&)>;

  /// One that does not answer within `patience` is given up for the next, if there is a next.
  SocketConnect(boost::asio::io_context& io, std::vector<SocketAddress> addresses, std::chrono::milliseconds patience,
                Done done);
  void start() { next(); }
  /// `done` is not called any more.
  void cancel() noexcept;

 private:
  void next();
  void await();
  void try_again();
  void conclude(boost::system::error_code error);

  const std::vector<SocketAddress> addresses_;
  const std::chrono::milliseconds patience_;
  Done done_;
  std::size_t tried_ = 0;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
};

}  // namespace gangway::detail
