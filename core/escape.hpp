// Text that came from a peer, made safe for a terminal or a log.
#pragma once

#include <string>
#include <string_view>

namespace gangway::detail {

/// Control characters (newline and tab excepted) and bytes that are not UTF-8 become \xNN.
[[nodiscard]] std::string escape_for_display(std::string_view text);

}  // namespace gangway::detail
