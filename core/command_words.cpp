#include "core/command_words.hpp"

#include <optional>
#include <utility>

namespace gangway::detail {

CommandWords command_words(std::string_view command) {
  const auto failed = [](const char* problem, std::size_t position) { return CommandWords{{}, problem, position}; };
  using namespace std::string_view_literals;
  // Neither survives the way to an argv: a NUL ends an argument, and what a newline does
  // depends on who reads the command next (a local exec, or a shell behind ssh).
  if (const std::size_t at = command.find_first_of("\0\n"sv); at != command.npos) {
    return failed(command[at] == '\n' ? "a command cannot contain a newline" : "a command cannot contain a NUL", at);
  }

  CommandWords result;
  std::optional<std::string> word;  // an empty one counts when it was quoted
  for (std::size_t at = 0; at < command.size(); ++at) {
    const char c = command[at];
    if (c == ' ' || c == '\t' || c == '\r') {
      if (word) result.words.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (!word) word.emplace();
    if (c == '\\') {
      if (++at == command.size()) return failed("a backslash with nothing after it", at - 1);
      *word += command[at];
    } else if (c == '\'' || c == '"') {
      const std::size_t opened = at;
      for (++at; at < command.size() && command[at] != c; ++at) {
        const bool escapes = c == '"' && command[at] == '\\' && at + 1 < command.size() &&
                             (command[at + 1] == '"' || command[at + 1] == '\\');
        if (escapes) ++at;
        *word += command[at];
      }
      if (at == command.size()) return failed("a quote is not closed", opened);
    } else {
      *word += c;
    }
  }
  if (word) result.words.push_back(std::move(*word));
  if (result.words.empty()) return failed("the command is empty", 0);
  return result;
}

}  // namespace gangway::detail
