// Where the native agent's executable is.
#pragma once

#include <string>

namespace gangway::detail {

/// GANGWAY_AGENT in the environment; else, in this order, the build tree's, the one beside
/// the library or the Python package, the one beside this program, and the installed one.
/// Throws StartError that names the places.
[[nodiscard]] std::string native_agent_path();

}  // namespace gangway::detail
