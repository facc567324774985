// Cuts a byte stream into frames, however the stream was cut before: one byte at a time or
// ten frames at once give the same calls. Large payloads are read straight to where they
// belong; everything else passes through a staging buffer.
//
// No I/O and no locks: whoever owns it feeds it. What is not valid about a frame by
// itself (its length) is found here, everything else by the sink.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/frame.hpp"

namespace gangway::detail {

class FrameParser {
 public:
  /// Receives what was parsed. Returning false stops the parser for good: the sink knows why.
  class Sink {
   public:
    /// A whole frame, or, when `part` is shorter than the header says, its beginning: the
    /// rest follows by on_payload. `part` of an item that begins without ending holds at
    /// least its eight bytes of total size.
    [[nodiscard]] virtual bool on_frame(const FrameHeader& header, std::span<const std::byte> part) = 0;
    /// More payload of the frame that began last.
    [[nodiscard]] virtual bool on_payload(std::span<const std::byte> part) = 0;
    /// Where the rest of that frame should be read to, at most `length` bytes; empty: anywhere.
    /// What arrives there is reported by on_payload as well.
    [[nodiscard]] virtual std::span<std::byte> destination(std::size_t length) = 0;

   protected:
    ~Sink() = default;
  };

  explicit FrameParser(Sink& sink) : sink_(sink), stage_(stage_size) {}

  /// Buffers for the next read, in order.
  [[nodiscard]] std::span<const iovec> prepare();
  /// `size` bytes were read into what prepare() gave. False when the stream is broken:
  /// failure() says how, unless the sink stopped it.
  [[nodiscard]] bool commit(std::size_t size);

  /// The same for bytes that are somewhere already.
  [[nodiscard]] bool feed(std::span<const std::byte> bytes);

  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  /// In the middle of a frame: the end of the stream here means that something was cut off.
  [[nodiscard]] bool mid_frame() const noexcept { return missing_ > 0 || begin_ < end_; }

 private:
  static constexpr std::size_t stage_size = 64 * 1024;
  // Read behind a payload that goes elsewhere: the next header, and little that must be copied.
  static constexpr std::size_t stage_behind_direct = 4 * 1024;

  [[nodiscard]] bool parse();

  Sink& sink_;
  std::vector<std::byte> stage_;
  std::size_t begin_ = 0;  // of what is staged and not parsed
  std::size_t end_ = 0;
  std::size_t missing_ = 0;  // payload bytes of the current frame that have not arrived
  std::span<std::byte> direct_;
  std::array<iovec, 2> buffers_{};
  std::string failure_;
};

}  // namespace gangway::detail
