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

/// Whether an ssh ended because the server hung up before a login, as one does that has too many of
/// them under way (MaxStartups). Behind a jump or proxy nobody knows whose doing it was: false.
[[nodiscard]] bool hung_up_before_login(const DeathRecord& death);

}  // namespace gangway::detail
