// The command line that starts an agent on another machine, as one line for whatever shell its
// user logs in with: bash, dash, zsh, fish, tcsh. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/error_code.hpp>

namespace gangway::detail {

struct RemoteCommand {
  /// What python= says. Empty: the best interpreter of the far side is looked for, over there.
  std::vector<std::string> interpreter;
  /// Its arguments: -u -c STAGE0.
  std::vector<std::string> arguments;
  /// GANGWAY_COOKIE of the agent.
  std::string cookie;
  /// An interpreter that was found there before, tried first; "": none.
  std::string found_before = {};
};

/// `exec sh -c '...' sh WORDS`: one line, which a login shell hands on to sh. No word may have a
/// newline or a NUL (XSpec sees to that).
[[nodiscard]] std::string remote_command(const RemoteCommand& command);

/// A word in single quotes, as all those shells read them.
[[nodiscard]] std::string quote_for_any_shell(std::string_view word);

/// What the search for an interpreter says when it comes to nothing.
struct DiscoveryFailure {
  boost::system::error_code code;  // errc::python_not_found or python_too_old
  std::string text;                // with the names that were tried, or what was too old
};
/// Found in what the far side wrote to stderr, if it is there.
[[nodiscard]] std::optional<DiscoveryFailure> discovery_failure(std::string_view stderr_text);

}  // namespace gangway::detail
