// A document in memory, for the dump decoder. Threads: no rule; the document must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace gangway::detail {

class SpanSource {
 public:
  explicit SpanSource(std::span<const std::byte> document) : left_(document) {}

  [[nodiscard]] bool next(std::uint8_t& byte) {
    if (left_.empty()) return false;
    byte = std::to_integer<std::uint8_t>(left_.front());
    left_ = left_.subspan(1);
    return true;
  }
  [[nodiscard]] std::optional<std::span<const std::byte>> take(std::size_t count) {
    if (count > left_.size()) return std::nullopt;
    const auto run = left_.first(count);
    left_ = left_.subspan(count);
    return run;
  }

 private:
  std::span<const std::byte> left_;
};

}  // namespace gangway::detail
