// Finds the marker behind which an agent's stream begins (spec-docs/wire.md, section 1),
// and keeps the noise before it for the error text. No I/O.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <gangway/limits.hpp>

namespace gangway::detail {

using Nonce = std::array<std::byte, 16>;

/// 16 bytes from the system's random source. Throws Error when there is none.
[[nodiscard]] Nonce make_nonce();

[[nodiscard]] std::string to_hex(const Nonce& nonce);

/// "<GW1 " + the halves swapped, in hex + ">\n".
[[nodiscard]] std::string marker_for(const Nonce& nonce);

class Preamble {
 public:
  explicit Preamble(const Nonce& nonce) : marker_(marker_for(nonce)) {}

  enum class Result { searching, found, too_much_noise };

  /// Looks on. When found, `rest` is what of `bytes` comes after the marker.
  [[nodiscard]] Result feed(std::span<const std::byte> bytes, std::span<const std::byte>& rest);

  /// What came before the marker, at most limits::noise bytes.
  [[nodiscard]] std::string_view noise() const noexcept;

 private:
  std::string marker_;
  std::string seen_;
  bool found_ = false;
};

}  // namespace gangway::detail
