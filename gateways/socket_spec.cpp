#include "gateways/socket_spec.hpp"

#include <stdexcept>

namespace gangway::detail {

SocketOpening::Plan common_plan(const XSpec& spec) {
  SocketOpening::Plan plan;
  plan.request.write_bytecode = !spec.dont_write_bytecode();
  plan.request.wants_token = true;
  plan.keepalive = spec.keepalive();
  plan.patience = spec.connect_timeout();
  return plan;
}

SocketOpening::Plan socket_plan(const XSpec& spec) {
  SocketOpening::Plan plan = common_plan(spec);
  const bool is_unix = spec.kind() == TransportKind::unix_socket;
  const std::string_view key = is_unix ? "unix" : "socket";
  plan.name = spec.argument(key).value_or("");
  try {
    if (is_unix)
      plan.addresses = {SocketAddress::unix_path(plan.name)};
    else
      plan.host = HostPort::parse(plan.name);
  } catch (const std::invalid_argument& problem) {
    spec.reject(key, problem.what());
  }
  if (is_unix) {
    if (spec.has("secret_file")) spec.reject("secret_file", "at a Unix socket the system says who connects: no secret");
  } else if (const auto path = spec.argument("secret_file")) {
    try {
      plan.secret = Secret::from_file(*path);
    } catch (const Error& problem) {
      spec.reject("secret_file", problem.what());
    }
  } else {
    plan.secret = Secret::from_environment();
  }
  return plan;
}

}  // namespace gangway::detail
