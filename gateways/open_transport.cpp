#include "gateways/open_transport.hpp"

#include "gateways/install_server.hpp"
#include "gateways/popen_process.hpp"
#include "gateways/socket_spec.hpp"
#include "gateways/socket_transport.hpp"

namespace gangway::detail {

namespace {

std::shared_ptr<Transport> open_popen(const TransportContext& context, const Bootstrap& bootstrap) {
  std::vector<std::pair<std::string, std::string>> environment{{"GANGWAY_COOKIE", context.cookie}};
  return std::make_shared<PopenProcess>(*context.runtime, bootstrap.argv(), std::move(environment),
                                        bootstrap.may_be_forked() ? context.warm.get() : nullptr);
}

}  // namespace

std::shared_ptr<Transport> open_transport(const TransportContext& context, const XSpec& spec,
                                          const Bootstrap& bootstrap) {
  if (spec.has("via")) spec.reject("via", "this version can start popen gateways only");
  switch (spec.kind()) {
    case TransportKind::popen: return open_popen(context, bootstrap);
    case TransportKind::socket:
    case TransportKind::unix_socket:
      return std::make_shared<SocketTransport>(
          context.runtime, spec.has("installvia") ? install_plan(context, spec) : socket_plan(spec));
    case TransportKind::ssh:
    case TransportKind::vagrant_ssh:
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
