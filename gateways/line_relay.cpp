#include "gateways/line_relay.hpp"

#include <utility>

#include <gangway/limits.hpp>

namespace gangway::detail {

namespace {

// A line without end is passed on in pieces of this size.
constexpr std::size_t longest_line = 64 * 1024;

}  // namespace

void LineRelay::start(std::string gateway, std::shared_ptr<OutputSink> sink) {
  const std::lock_guard lock(mutex_);
  gateway_ = std::move(gateway);
  sink_ = std::move(sink);
  pass_on();
}

void LineRelay::add(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  tail_.append(text.substr(text.size() - std::min(text.size(), limits::stderr_tail)));
  if (tail_.size() > limits::stderr_tail) tail_.erase(0, tail_.size() - limits::stderr_tail);
  const std::size_t room = limits::output_held - std::min(pending_.size(), limits::output_held);
  pending_.append(text.substr(0, room));
  dropped_ += text.size() - std::min(text.size(), room);
  pass_on();
}

void LineRelay::end_line() {
  if (!pending_.empty() && pending_.back() != '\n') pending_ += '\n';
  if (dropped_ > 0) pending_ += "[" + std::to_string(dropped_) + " bytes of stderr were dropped here]\n";
  dropped_ = 0;
}

void LineRelay::pass_on() {
  if (refused_ || closed_ || !sink_) return;
  if (dropped_ > 0) end_line();
  const std::size_t end = pending_.rfind('\n');
  const std::size_t whole = end != std::string::npos ? end + 1 : pending_.size() >= longest_line ? pending_.size() : 0;
  if (whole == 0) return;
  Output output{gateway_, 0, OutputStream::err, pending_.substr(0, whole)};
  refused_ = !sink_->offer(output, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const std::lock_guard lock(self->mutex_);
    self->refused_ = false;
    self->pass_on();
  });
  if (!refused_) pending_.erase(0, whole);
}

void LineRelay::close() noexcept {
  const std::lock_guard lock(mutex_);
  if (std::exchange(closed_, true)) return;
  end_line();
  if (!pending_.empty() && sink_) sink_->push({gateway_, 0, OutputStream::err, std::exchange(pending_, {})});
}

std::string LineRelay::tail() {
  const std::lock_guard lock(mutex_);
  return tail_;
}

}  // namespace gangway::detail
