// Carries what an agent's process writes to its stderr to a sink, in whole lines, and keeps
// the end of it for the death record. While the sink is full nothing more is read, and the
// agent waits as it would on a stderr of its own.
//
// Thread rule: the handlers run on the leading thread; everything else on any.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <memory>
#include <mutex>
#include <string>

#include "core/file_descriptor.hpp"
#include "gateways/output_sink.hpp"
#include "gateways/stderr_lines.hpp"

namespace gangway::detail {

class StderrPump : public std::enable_shared_from_this<StderrPump> {
 public:
  /// Throws Error when the system cannot watch the descriptor, which is closed then.
  StderrPump(boost::asio::io_context& io, FileDescriptor from);

  void start(std::string gateway, std::shared_ptr<OutputSink> sink);
  /// Takes what is there now; a grandchild may hold the other end for ever.
  void drain() noexcept;
  /// What was read and not yet passed on goes to the sink, the last line with a line feed.
  void close() noexcept;
  [[nodiscard]] std::string tail();

 private:
  void wait();
  /// False at the end of the stream, or when nothing is there now.
  bool read_some() noexcept;
  /// Passes on the whole lines. False: the sink is full.
  bool pass_on() noexcept;
  void on_room();

  std::mutex mutex_;
  boost::asio::posix::stream_descriptor from_;
  StderrLines lines_;
  bool waiting_ = false;  // for from_ to be readable
  bool refused_ = false;  // until the sink has room
  bool ended_ = false;
};

}  // namespace gangway::detail
