// Carries an agent's stderr to this process's stderr, line by line, and keeps the end of
// it for the death record. Nobody blocks on this process's stderr: while it takes nothing,
// nothing more is read, and the agent waits as it would on a stderr of its own.
//
// Thread rule: the handlers run on the leading thread; tail() and drain() on any.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

class StderrPump : public std::enable_shared_from_this<StderrPump> {
 public:
  StderrPump(boost::asio::io_context& io, FileDescriptor from);

  void start();
  /// Takes what is there now; a grandchild may hold the other end for ever.
  void drain() noexcept;
  void close() noexcept;
  [[nodiscard]] std::string tail();

 private:
  void wait();
  void retry_later();
  /// False at the end of the stream, or when nothing is there now.
  bool read_some() noexcept;
  /// Writes the whole lines of pending_. False when some are left.
  bool forward() noexcept;

  std::mutex mutex_;
  boost::asio::posix::stream_descriptor from_;
  boost::asio::steady_timer retry_;
  std::string pending_;  // not yet forwarded
  std::string tail_;
  bool ended_ = false;
};

}  // namespace gangway::detail
