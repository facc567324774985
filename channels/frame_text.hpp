// Text in frames and about them: an error's, a stack's, a name; and which channel it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gangway::detail {

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// For what is wrong with a frame.
[[nodiscard]] inline std::string channel_text(std::uint32_t id) { return " on channel " + std::to_string(id); }

/// The first, or the last, so many bytes at most; a character that is cut is left out.
[[nodiscard]] std::string_view beginning_of(std::string_view text, std::size_t most);
[[nodiscard]] std::string_view end_of(std::string_view text, std::size_t most);

/// What is not UTF-8 becomes question marks.
[[nodiscard]] std::string with_question_marks(std::string_view text);

}  // namespace gangway::detail
