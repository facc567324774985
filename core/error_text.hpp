// Texts of errors that must go out even when there is no memory for them.
#pragma once

#include <new>
#include <string>

namespace gangway::detail {

/// Short enough for any std::string to hold it without an allocation.
inline constexpr const char* out_of_memory = "out of memory";

/// What `make` gives, a std::string; out_of_memory when it cannot.
template <class Make>
[[nodiscard]] std::string text_from(Make make) noexcept {
  try {
    return make();
  } catch (const std::bad_alloc&) {
    return out_of_memory;
  }
}

}  // namespace gangway::detail
