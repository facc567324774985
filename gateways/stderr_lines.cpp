#include "gateways/stderr_lines.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include <gangway/limits.hpp>

#include "core/trace.hpp"

namespace gangway::detail {

void StderrLines::add(std::string_view text) noexcept {
  try {
    pending_.append(text);
  } catch (const std::bad_alloc&) {
    drop_pending();
  }
  add_to_tail(text);
}

void StderrLines::add_to_tail(std::string_view text) noexcept {
  try {
    tail_.append(text.substr(text.size() - std::min(text.size(), limits::stderr_tail)));
    if (tail_.size() > limits::stderr_tail) tail_.erase(0, tail_.size() - limits::stderr_tail);
  } catch (const std::bad_alloc&) {
    drop_pending();
  }
}

void StderrLines::add_remark(std::string_view line) noexcept {
  complete();
  try {
    pending_.append(line).push_back('\n');
  } catch (const std::bad_alloc&) {
    drop_pending();
  }
}

void StderrLines::complete() noexcept {
  if (pending_.empty() || pending_.back() == '\n') return;
  try {
    pending_ += '\n';
  } catch (const std::bad_alloc&) {
    pending_.back() = '\n';
  }
}

bool StderrLines::pass_on(OutputSink::OnRoom on_room) noexcept {
  try {
    const std::size_t end = pending_.rfind('\n');
    const std::size_t whole = end != std::string::npos ? end + 1 : is_full() ? pending_.size() : 0;
    if (whole == 0 || !sink_) return true;
    Output output{gateway_, 0, OutputStream::err, pending_.substr(0, whole)};
    if (!sink_->offer(output, std::move(on_room))) return false;
    pending_.erase(0, whole);
  } catch (const std::exception&) {  // memory, most likely
    drop_pending();
  }
  return true;
}

void StderrLines::push() noexcept {
  complete();
  try {
    if (!pending_.empty() && sink_) sink_->push({gateway_, 0, OutputStream::err, std::exchange(pending_, {})});
  } catch (const std::exception&) {
    drop_pending();
  }
}

void StderrLines::drop_pending() noexcept {
  trace::log("gateway ", gateway_, ": no memory for ", pending_.size(), " bytes of its stderr");
  pending_.clear();
}

}  // namespace gangway::detail
