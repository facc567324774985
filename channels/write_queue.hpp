// What goes out next, in order: small pieces are copied together, large payloads are
// written from where they are.
//
// No I/O: whoever owns it writes what gather() gives and reports it by consume(). When
// memory runs out, append and forget throw and have changed nothing.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/frame.hpp"

namespace gangway::detail {

class WriteQueue {
 public:
  /// Tells when a borrowed payload has been written, or never will be.
  class Borrowed {
   public:
    virtual void on_written(std::size_t size) = 0;
    /// So much of it will be written from a copy: see forget().
    virtual void on_forgotten(std::size_t size) = 0;

    std::uint32_t group = 0;  // those that are forgotten together

   protected:
    ~Borrowed() = default;
  };

  void append(std::span<const std::byte> bytes);
  void append_frame(const FrameHeader& header, std::span<const std::byte> payload);
  /// The header is copied; the payload stays where it is until on_written or forget().
  void append_frame(const FrameHeader& header, std::span<const std::byte> prefix, std::span<const std::byte> payload,
                    Borrowed& owner);

  /// The payloads of a group are about to go away: what is not yet written of them is copied.
  void forget(std::uint32_t group);

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// The next bytes to write, as many pieces as fit into `pieces`.
  [[nodiscard]] std::span<const iovec> gather(std::span<iovec> pieces) const;
  void consume(std::size_t size);
  /// Drops everything. Gives one whose payload it still referred to, each once, then none.
  [[nodiscard]] Borrowed* abandon() noexcept;

 private:
  struct Segment {
    const std::byte* borrowed = nullptr;  // else `size` bytes of copied_, in order
    std::size_t size = 0;
    Borrowed* owner = nullptr;
  };

  std::byte* extend(std::size_t size);
  void shrink(std::size_t size) noexcept;

  std::vector<std::byte> copied_;
  std::size_t copied_begin_ = 0;  // what is before was written
  std::deque<Segment> segments_;
  std::size_t size_ = 0;
};

}  // namespace gangway::detail
