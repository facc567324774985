// Where the native agent's executable is.
#pragma once

#include <string>

namespace gangway::detail {

/// <gangway/native_agent.hpp> says where it is looked for; a build with tests has its own before the last of these.
/// Throws StartError that names the places.
[[nodiscard]] std::string native_agent_path();

}  // namespace gangway::detail
