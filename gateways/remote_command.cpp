#include "gateways/remote_command.hpp"

#include <gangway/error.hpp>

namespace gangway::detail {

namespace {

// sh COOKIE WORDS...
constexpr std::string_view run_words = R"(export GANGWAY_COOKIE="$1"; shift; exec "$@")";

// sh COOKIE FOUND-BEFORE ARGUMENTS...: becomes the first of these that says it is 3.6 or newer
// (-V takes 1 ms; a shim of pyenv that stands for nothing fails). The one that the user would get
// by "python3" comes first, even if there is a newer one.
constexpr std::string_view find_python =
    R"(export GANGWAY_COOKIE="$1"; f=$2; shift 2; o=; )"
    R"(n="python3 python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3.7 )"
    R"(python3.6 python /usr/bin/python3 /usr/local/bin/python3 /opt/bin/python3 pypy3 pypy"; )"
    R"(for p in ${f:+"$f"} $n; do v=$("$p" -V 2>&1 </dev/null) && case $v in )"
    R"(*"Python 3."[6-9]*|*"Python 3."[1-9][0-9]*) exec "$p" "$@";; )"
    R"(*"Python "[0-9]*) o="$o $p is ${v##*Python },";; esac; done; )"
    R"(if test "$o"; then echo "gangway: Python too old:$o 3.6 is needed"; )"
    R"(else echo "gangway: no Python found: tried $n"; fi >&2; exit 127)";

constexpr std::string_view prefix = "gangway: ";
constexpr std::string_view too_old = "Python too old: ";
constexpr std::string_view not_found = "no Python found: ";

}  // namespace

// Between single quotes, fish minds the backslash and tcsh the exclamation mark, so these and
// the quote itself stand outside of them, each behind a backslash.
std::string quote_for_any_shell(std::string_view word) {
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'' || c == '\\' || c == '!')
      quoted.append({'\'', '\\', c, '\''});
    else
      quoted += c;
  }
  return quoted + "'";
}

std::string remote_command(const RemoteCommand& command) {
  const bool search = command.interpreter.empty();
  std::string line = "exec sh -c " + quote_for_any_shell(search ? find_python : run_words) + " sh";
  const auto add = [&](std::string_view word) { line += " " + quote_for_any_shell(word); };
  add(command.cookie);
  if (search) add(command.found_before);
  for (const std::string& word : command.interpreter) add(word);
  for (const std::string& word : command.arguments) add(word);
  return line;
}

std::optional<DiscoveryFailure> discovery_failure(std::string_view stderr_text) {
  while (!stderr_text.empty()) {
    std::string_view line = stderr_text.substr(0, stderr_text.find('\n'));
    stderr_text.remove_prefix(std::min(stderr_text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.starts_with(prefix)) continue;
    line.remove_prefix(prefix.size());
    if (line.starts_with(too_old)) return DiscoveryFailure{errc::python_too_old, std::string(line)};
    if (line.starts_with(not_found)) return DiscoveryFailure{errc::python_not_found, std::string(line)};
  }
  return {};
}

}  // namespace gangway::detail
