// Passes on what comes in pieces to a sink, in whole lines, and keeps the end of it for the death
// record.
//
// Nobody is held up: while the sink is full, limits::output_held bytes wait here, and what is
// beyond is dropped, with a line that says so. That is for streams that share their way with
// others, as stderr does on an ssh channel.
//
// Thread rule: any thread. Calls the sink, and nobody else.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "gateways/output_sink.hpp"
#include "gateways/stderr_lines.hpp"

namespace gangway::detail {

class LineRelay : public std::enable_shared_from_this<LineRelay> {
 public:
  void start(std::string gateway, std::shared_ptr<OutputSink> sink);
  void add(std::string_view text) noexcept;
  /// For the death record only.
  void add_to_tail(std::string_view text) noexcept;
  /// What waits goes to the sink, the last line with a line feed. Idempotent.
  void close() noexcept;
  [[nodiscard]] std::string tail();

 private:
  void pass_on() noexcept;
  void remark_dropped() noexcept;

  std::mutex mutex_;
  StderrLines lines_;
  std::size_t dropped_ = 0;  // bytes, since the last remark
  bool refused_ = false;     // until the sink has room
  bool closed_ = false;
};

}  // namespace gangway::detail
