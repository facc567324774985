// Makes a RemoteStatus of a STATUS_REPLY (wire.md, section 7).
#pragma once

#include <gangway/remote_status.hpp>

namespace gangway::detail {

/// What is absent, or is no such thing as it should be, stays as it is in RemoteStatus{}.
[[nodiscard]] RemoteStatus read_status(Dict reply);

}  // namespace gangway::detail
