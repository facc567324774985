#include "gateways/cookie.hpp"

#include <cstdlib>

#include "channels/preamble.hpp"

namespace gangway::detail {

std::string agent_cookie() {
  if (const char* const inherited = std::getenv("GANGWAY_COOKIE"); inherited != nullptr && *inherited != '\0')
    return inherited;
  return to_hex(make_nonce());
}

}  // namespace gangway::detail
