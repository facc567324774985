// Takes common indentation off source text, by the rules of Python's textwrap.dedent.
#pragma once

#include <string>
#include <string_view>

namespace gangway::detail {

/// Lines of blanks and tabs only count for nothing and become empty. Blanks and tabs are
/// never equal to each other.
[[nodiscard]] std::string dedent(std::string_view text);

}  // namespace gangway::detail
