// What the command line of gwserver says.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gangway/limits.hpp>

#include "gateways/secret.hpp"

namespace gangway::detail {

struct ServerOptions {
  std::vector<std::string> addresses;
  std::optional<Secret> secret;
  std::set<uid_t> users;  // who may connect from this machine without a secret
  bool others = false;    // somebody else than ourselves and root is among them
  std::vector<std::string> python;
  std::chrono::milliseconds keepalive = limits::ping_interval;
  std::size_t max_connections = limits::server_connections;
  bool once = false;
  bool warm = true;
  bool execnet_open = false;
};

}  // namespace gangway::detail
