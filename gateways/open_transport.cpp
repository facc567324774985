#include "gateways/open_transport.hpp"

#include <gangway/error.hpp>

#include "gateways/gateway_state.hpp"
#include "gateways/popen_process.hpp"
#include "gateways/via_process.hpp"

namespace gangway::detail {

namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

Environment agent_environment(const TransportContext& context) { return {{"GANGWAY_COOKIE", context.cookie}}; }

std::shared_ptr<Transport> open_popen(const TransportContext& context, const Bootstrap& bootstrap) {
  return std::make_shared<PopenProcess>(*context.runtime, bootstrap.argv(), agent_environment(context),
                                        bootstrap.may_be_forked() ? context.warm.get() : nullptr);
}

// The process that another gateway is to start.
std::vector<std::string> command_at_hop(const XSpec& spec, const Bootstrap& bootstrap) {
  if (spec.kind() != TransportKind::popen)
    spec.reject(to_string(spec.kind()), "this version can start popen gateways only");
  std::vector<std::string> argv = bootstrap.argv();
  if (spec.python_command().empty()) argv.front().clear();  // the hop's own interpreter
  return argv;
}

std::shared_ptr<Transport> open_via(const TransportContext& context, const XSpec& spec, const Bootstrap& bootstrap) {
  const std::string id = spec.via().value();
  auto hop = context.member(id);
  if (!hop) throw_error(errc::group_error, "via=" + id + ": the group has no gateway " + id);
  return std::make_shared<ViaProcess>(std::move(hop), command_at_hop(spec, bootstrap), agent_environment(context));
}

}  // namespace

std::shared_ptr<Transport> open_transport(const TransportContext& context, const XSpec& spec,
                                          const Bootstrap& bootstrap) {
  if (spec.has("via")) return open_via(context, spec, bootstrap);
  switch (spec.kind()) {
    case TransportKind::popen: return open_popen(context, bootstrap);
    case TransportKind::ssh:
    case TransportKind::vagrant_ssh:
    case TransportKind::socket:
    case TransportKind::unix_socket:
    case TransportKind::command:
    case TransportKind::docker:
    case TransportKind::podman:
    case TransportKind::kubectl:
    case TransportKind::sudo:
    case TransportKind::su:
    case TransportKind::slurm: break;
  }
  spec.reject(to_string(spec.kind()), "this version can start popen gateways only");
}

}  // namespace gangway::detail
