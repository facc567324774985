// Files that say how ssh connects, and to whom: configuration, known hosts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <gangway/error.hpp>

namespace gangway::detail {

/// The content of a regular file of at most limits::ssh_file bytes; nothing when there is none.
/// `private_file`: one that others could have written is refused, as by OpenSSH. Throws what
/// `code` stands for; `what` says what the file is for.
[[nodiscard]] std::optional<std::string> read_ssh_file(const std::string& path, errc code, std::string_view what,
                                                       bool private_file = false);

}  // namespace gangway::detail
