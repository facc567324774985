#include "core/frame_parser.hpp"

#include <algorithm>
#include <cstring>

#include <gangway/limits.hpp>

namespace gangway::detail {

std::span<const iovec> FrameParser::prepare() {
  // What is left of a header, at most, stands at the front.
  if (begin_ > 0) {
    std::memmove(stage_.data(), stage_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  direct_ = missing_ > 0 ? sink_.destination(missing_) : std::span<std::byte>{};
  if (direct_.empty()) {
    buffers_[0] = {stage_.data() + end_, stage_.size() - end_};
    return {buffers_.data(), 1};
  }
  buffers_[0] = {direct_.data(), direct_.size()};
  if (direct_.size() < missing_) return {buffers_.data(), 1};
  buffers_[1] = {stage_.data() + end_, stage_behind_direct};
  return buffers_;
}

bool FrameParser::commit(std::size_t size) {
  if (!direct_.empty()) {
    const std::size_t arrived = std::min(size, direct_.size());
    missing_ -= arrived;
    if (!sink_.on_payload(direct_.first(arrived))) return false;
    size -= arrived;
    direct_ = {};
  }
  end_ += size;
  return parse();
}

bool FrameParser::feed(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    std::size_t fed = 0;
    for (const iovec& buffer : prepare()) {
      const std::size_t size = std::min(buffer.iov_len, bytes.size());
      std::memcpy(buffer.iov_base, bytes.data(), size);
      bytes = bytes.subspan(size);
      fed += size;
    }
    if (!commit(fed)) return false;
  }
  return true;
}

bool FrameParser::parse() {
  for (;;) {
    const std::size_t staged = end_ - begin_;
    const std::byte* const at = stage_.data() + begin_;
    if (missing_ > 0) {
      const std::size_t part = std::min(missing_, staged);
      if (part == 0) return true;
      begin_ += part;
      missing_ -= part;
      if (!sink_.on_payload({at, part})) return false;
      continue;
    }
    if (staged < frame_header_size) return true;
    const FrameHeader header = load_header(at);
    if (header.length > limits::frame_accepted) {
      failure_ = "frame of " + std::to_string(header.length) + " bytes, at most " +
                 std::to_string(limits::frame_accepted) + " are accepted";
      return false;
    }
    const std::size_t part = std::min<std::size_t>(header.length, staged - frame_header_size);
    const bool total_follows = header.is_item() && header.begins() && !header.ends();
    if (part < header.length && total_follows && part < sizeof(std::uint64_t)) return true;
    begin_ += frame_header_size + part;
    missing_ = header.length - part;
    if (!sink_.on_frame(header, {at + frame_header_size, part})) return false;
  }
}

}  // namespace gangway::detail
