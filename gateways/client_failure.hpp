// What a program that leads to another place (ssh, sudo, docker, srun) means when it ends without
// an agent having answered. Pure.
#pragma once

#include <optional>
#include <string_view>

#include <gangway/death_record.hpp>
#include <gangway/xspec.hpp>

#include "channels/connection.hpp"

namespace gangway::detail {

/// By its exit status and its words on stderr; nothing when they say nothing special.
[[nodiscard]] std::optional<ConnectionEnd> client_failure(const XSpec& spec, const DeathRecord& death);

}  // namespace gangway::detail
