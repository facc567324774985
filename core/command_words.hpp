// A command line split into words by the shell's quoting rules, nothing expanded.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gangway::detail {

struct CommandWords {
  std::vector<std::string> words;
  std::string problem;       // "" when there is none
  std::size_t position = 0;  // of the problem
};

[[nodiscard]] CommandWords command_words(std::string_view command);

}  // namespace gangway::detail
