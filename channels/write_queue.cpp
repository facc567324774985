#include "channels/write_queue.hpp"

#include <algorithm>
#include <cstring>

namespace gangway::detail {

// Room for `size` more copied bytes at the end of the queue. Nothing changes when there is
// no memory for them.
std::byte* WriteQueue::extend(std::size_t size) {
  if (segments_.empty() || segments_.back().borrowed != nullptr) segments_.emplace_back();
  const std::size_t at = copied_.size();
  copied_.resize(at + size);
  segments_.back().size += size;
  size_ += size;
  return copied_.data() + at;
}

// Takes the last `size` copied bytes back.
void WriteQueue::shrink(std::size_t size) noexcept {
  copied_.resize(copied_.size() - size);
  segments_.back().size -= size;
  size_ -= size;
}

void WriteQueue::append(std::span<const std::byte> bytes) {
  if (!bytes.empty()) std::memcpy(extend(bytes.size()), bytes.data(), bytes.size());
}

void WriteQueue::append_frame(const FrameHeader& header, std::span<const std::byte> payload) {
  std::byte* const to = extend(frame_header_size + payload.size());
  store_header(to, header);
  if (!payload.empty()) std::memcpy(to + frame_header_size, payload.data(), payload.size());
}

void WriteQueue::append_frame(const FrameHeader& header, std::span<const std::byte> prefix,
                              std::span<const std::byte> payload, Borrowed& owner) {
  append_frame(header, prefix);
  if (payload.empty()) return;
  try {
    segments_.push_back({payload.data(), payload.size(), &owner});
  } catch (...) {
    shrink(frame_header_size + prefix.size());
    throw;
  }
  size_ += payload.size();
}

void WriteQueue::forget(std::uint32_t group) {
  const auto goes = [group](const Segment& segment) {
    return segment.owner != nullptr && segment.owner->group == group;
  };
  if (std::none_of(segments_.begin(), segments_.end(), goes)) return;
  std::vector<std::byte> copied;
  copied.reserve(size_);
  std::deque<Segment> segments;
  const std::byte* from = copied_.data() + copied_begin_;
  for (const Segment& segment : segments_) {
    if (segment.borrowed != nullptr && !goes(segment)) {
      segments.push_back(segment);
      continue;
    }
    const std::byte* const begin = segment.borrowed != nullptr ? segment.borrowed : from;
    if (segment.borrowed == nullptr) from += segment.size;
    copied.insert(copied.end(), begin, begin + segment.size);
    if (segments.empty() || segments.back().borrowed != nullptr) segments.emplace_back();
    segments.back().size += segment.size;
  }
  copied_ = std::move(copied);
  copied_begin_ = 0;
  segments_.swap(segments);
  for (const Segment& segment : segments)
    if (goes(segment)) segment.owner->on_forgotten(segment.size);
}

std::span<const iovec> WriteQueue::gather(std::span<iovec> pieces) const {
  std::size_t count = 0;
  const std::byte* from = copied_.data() + copied_begin_;
  for (const Segment& segment : segments_) {
    if (count == pieces.size()) break;
    const std::byte* const begin = segment.borrowed != nullptr ? segment.borrowed : from;
    if (segment.borrowed == nullptr) from += segment.size;
    pieces[count++] = {const_cast<std::byte*>(begin), segment.size};
  }
  return pieces.first(count);
}

void WriteQueue::consume(std::size_t size) {
  size_ -= size;
  while (size > 0) {
    Segment& segment = segments_.front();
    const std::size_t part = std::min(size, segment.size);
    size -= part;
    segment.size -= part;
    Borrowed* const owner = segment.owner;
    if (segment.borrowed != nullptr)
      segment.borrowed += part;
    else
      copied_begin_ += part;
    if (segment.size == 0) segments_.pop_front();
    if (owner != nullptr) owner->on_written(part);
  }
  if (copied_begin_ == copied_.size()) {
    copied_.clear();
    copied_begin_ = 0;
  } else if (copied_begin_ > 64 * 1024) {
    copied_.erase(copied_.begin(), copied_.begin() + static_cast<std::ptrdiff_t>(copied_begin_));
    copied_begin_ = 0;
  }
}

WriteQueue::Borrowed* WriteQueue::abandon() noexcept {
  copied_.clear();
  copied_begin_ = 0;
  size_ = 0;
  Borrowed* owner = nullptr;
  while (owner == nullptr && !segments_.empty()) {
    owner = segments_.front().owner;
    segments_.pop_front();
  }
  if (owner != nullptr)
    for (Segment& segment : segments_)
      if (segment.owner == owner) segment.owner = nullptr;
  return owner;
}

}  // namespace gangway::detail
