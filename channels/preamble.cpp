#include "channels/preamble.hpp"

#include <sys/random.h>

#include <algorithm>

#include <gangway/error.hpp>

namespace gangway::detail {

Nonce make_nonce() {
  Nonce nonce;
  if (::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
    throw_error({errno, boost::system::system_category()}, "no random bytes for the session's nonce");
  return nonce;
}

std::string to_hex(const Nonce& nonce) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const std::byte byte : nonce) {
    hex += digits[std::to_integer<unsigned>(byte) >> 4];
    hex += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return hex;
}

std::string marker_for(const Nonce& nonce) {
  const std::string hex = to_hex(nonce);
  return "<GW1 " + hex.substr(nonce.size()) + hex.substr(0, nonce.size()) + ">\n";
}

Preamble::Result Preamble::feed(std::span<const std::byte> bytes, std::span<const std::byte>& rest) {
  // The marker may begin in what came before: look again from there.
  const std::size_t before = seen_.size();
  const std::size_t from = before - std::min(before, marker_.size() - 1);
  seen_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t at = seen_.find(marker_, from);
  if (at != std::string::npos && at <= limits::noise) {
    rest = bytes.subspan(at + marker_.size() - before);
    seen_.resize(at);
    found_ = true;
    return Result::found;
  }
  if (seen_.size() < limits::noise + marker_.size()) return Result::searching;
  seen_.resize(limits::noise);
  return Result::too_much_noise;
}

std::string_view Preamble::noise() const noexcept { return seen_; }

}  // namespace gangway::detail
