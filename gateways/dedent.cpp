#include "gateways/dedent.hpp"

#include <algorithm>
#include <optional>

namespace gangway::detail {

namespace {

template <class Function>
void for_each_line(std::string_view text, Function function) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    function(text.substr(0, end));
    text.remove_prefix(end);
  }
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\n") == std::string_view::npos; }

}  // namespace

std::string dedent(std::string_view text) {
  std::optional<std::string_view> margin;
  for_each_line(text, [&](std::string_view line) {
    if (is_blank(line)) return;
    const std::string_view indent = line.substr(0, line.find_first_not_of(" \t"));
    if (!margin) margin = indent;
    const auto differ = std::mismatch(margin->begin(), margin->end(), indent.begin(), indent.end());
    margin = margin->substr(0, static_cast<std::size_t>(differ.first - margin->begin()));
  });
  std::string result;
  result.reserve(text.size());
  for_each_line(text, [&](std::string_view line) {
    if (!is_blank(line))
      result += line.substr(margin->size());
    else if (line.back() == '\n')
      result += '\n';
  });
  return result;
}

}  // namespace gangway::detail
