#include "gateways/line_relay.hpp"

#include <algorithm>
#include <cstdio>
#include <new>
#include <utility>

#include <gangway/limits.hpp>

namespace gangway::detail {

void LineRelay::start(std::string gateway, std::shared_ptr<OutputSink> sink) {
  const std::lock_guard lock(mutex_);
  lines_.start(std::move(gateway), std::move(sink));
  pass_on();
}

void LineRelay::add(std::string_view text) noexcept {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const std::size_t room = limits::output_held - std::min(lines_.pending(), limits::output_held);
  const std::size_t kept = std::min(text.size(), room);
  lines_.add(text.substr(0, kept));
  lines_.add_to_tail(text.substr(kept));
  dropped_ += text.size() - kept;
  pass_on();
}

void LineRelay::remark_dropped() noexcept {
  if (dropped_ == 0) return;
  char remark[80];
  std::snprintf(remark, sizeof remark, "[%zu bytes of stderr were dropped here]", dropped_);
  lines_.add_remark(remark);
  dropped_ = 0;
}

void LineRelay::pass_on() noexcept {
  if (refused_ || closed_) return;
  if (lines_.has_sink()) remark_dropped();
  try {
    refused_ = !lines_.pass_on([weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      const std::lock_guard lock(self->mutex_);
      self->refused_ = false;
      self->pass_on();
    });
  } catch (const std::bad_alloc&) {  // they go with the next ones
  }
}

void LineRelay::close() noexcept {
  const std::lock_guard lock(mutex_);
  if (std::exchange(closed_, true)) return;
  remark_dropped();
  lines_.push();
}

void LineRelay::add_to_tail(std::string_view text) noexcept {
  const std::lock_guard lock(mutex_);
  lines_.add_to_tail(text);
}

std::string LineRelay::tail() {
  const std::lock_guard lock(mutex_);
  return lines_.tail();
}

}  // namespace gangway::detail
