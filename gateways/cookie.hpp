// The mark by which the processes of a program's agents can be found: every agent, and
// what it starts, has GANGWAY_COOKIE=<cookie> in its environment.
#pragma once

#include <string>

namespace gangway::detail {

/// The one that this process has itself, so that a whole tree shares one; else random.
[[nodiscard]] std::string agent_cookie();

}  // namespace gangway::detail
