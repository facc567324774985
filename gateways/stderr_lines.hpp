// What comes from a stderr on its way to a sink, in whole lines, and the end of it for the death
// record.
//
// Thread rule: guarded by the mutex of whoever reads that stderr.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <gangway/limits.hpp>

#include "gateways/output_sink.hpp"

namespace gangway::detail {

class StderrLines {
 public:
  void start(std::string gateway, std::shared_ptr<OutputSink> sink) {
    gateway_ = std::move(gateway);
    sink_ = std::move(sink);
  }
  void add(std::string_view text) {
    pending_.append(text);
    tail_.append(text);
    if (tail_.size() > limits::stderr_tail) tail_.erase(0, tail_.size() - limits::stderr_tail);
  }
  /// Nothing more comes: the last line gets its line feed.
  void complete() {
    if (!pending_.empty() && pending_.back() != '\n') pending_ += '\n';
  }
  /// Passes on what is whole. False: the sink is full, and will call `on_room`.
  [[nodiscard]] bool pass_on(OutputSink::OnRoom on_room) {
    const std::size_t end = pending_.rfind('\n');
    const std::size_t whole = end != std::string::npos ? end + 1 : is_full() ? pending_.size() : 0;
    if (whole == 0 || !sink_) return true;
    Output output{gateway_, 0, OutputStream::err, pending_.substr(0, whole)};
    if (!sink_->offer(output, std::move(on_room))) return false;
    pending_.erase(0, whole);
    return true;
  }
  /// The rest, although the sink may be full.
  void push() {
    complete();
    if (!pending_.empty() && sink_) sink_->push({gateway_, 0, OutputStream::err, std::exchange(pending_, {})});
  }
  /// A line without end is passed on in pieces of this size.
  [[nodiscard]] bool is_full() const noexcept { return pending_.size() >= longest_line; }
  [[nodiscard]] const std::string& tail() const noexcept { return tail_; }

 private:
  static constexpr std::size_t longest_line = 64 * 1024;

  std::string gateway_;
  std::shared_ptr<OutputSink> sink_;  // none before start()
  std::string pending_;               // not yet passed on
  std::string tail_;
};

}  // namespace gangway::detail
