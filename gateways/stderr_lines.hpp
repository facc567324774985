// What comes from a stderr on its way to a sink, in whole lines, and the end of it for the death
// record. Without memory for it text is dropped: a stderr that nobody reads would hold up the
// process that writes it.
//
// Thread rule: guarded by the mutex of whoever reads that stderr.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "gateways/output_sink.hpp"

namespace gangway::detail {

class StderrLines {
 public:
  void start(std::string gateway, std::shared_ptr<OutputSink> sink) {
    gateway_ = std::move(gateway);
    sink_ = std::move(sink);
  }
  void add(std::string_view text) noexcept;
  /// For the death record only.
  void add_to_tail(std::string_view text) noexcept;
  /// A line about the stderr, not of it.
  void add_remark(std::string_view line) noexcept;
  /// Nothing more comes: the last line gets its line feed.
  void complete() noexcept;
  /// Passes on what is whole. False: the sink is full, and will call `on_room`.
  [[nodiscard]] bool pass_on(OutputSink::OnRoom on_room) noexcept;
  /// The rest, although the sink may be full.
  void push() noexcept;

  /// A line without end is passed on in pieces of some size, which is reached.
  [[nodiscard]] bool is_full() const noexcept { return pending_.size() >= longest_line; }
  [[nodiscard]] bool has_sink() const noexcept { return sink_ != nullptr; }
  /// Bytes that wait to be passed on.
  [[nodiscard]] std::size_t pending() const noexcept { return pending_.size(); }
  [[nodiscard]] const std::string& tail() const noexcept { return tail_; }

 private:
  static constexpr std::size_t longest_line = 64 * 1024;

  void drop_pending() noexcept;

  std::string gateway_;
  std::shared_ptr<OutputSink> sink_;  // none before start()
  std::string pending_;               // not yet passed on
  std::string tail_;
};

}  // namespace gangway::detail
