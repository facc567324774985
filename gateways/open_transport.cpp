#include "gateways/open_transport.hpp"

#include <algorithm>

#include "gateways/popen_process.hpp"
#include "gateways/remote_command.hpp"
#include "gateways/socket_spec.hpp"
#include "gateways/socket_transport.hpp"
#include "gateways/ssh_transport.hpp"

namespace gangway::detail {

namespace {

std::shared_ptr<Transport> open_popen(const TransportContext& context, const Bootstrap& bootstrap) {
  std::vector<std::pair<std::string, std::string>> environment{{"GANGWAY_COOKIE", context.cookie}};
  return std::make_shared<PopenProcess>(*context.runtime, bootstrap.argv(), std::move(environment),
                                        bootstrap.may_be_forked() ? context.warm.get() : nullptr);
}

std::shared_ptr<Transport> open_ssh(const TransportContext& context, const XSpec& spec, const Bootstrap& bootstrap) {
  const auto interpreter = spec.python_command();
  const auto& argv = bootstrap.argv();
  RemoteCommand command{interpreter,
                        {argv.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(1, interpreter.size())), argv.end()},
                        context.cookie};
  // The login gives up a little before the gateway does: its error says more.
  const auto patience = spec.connect_timeout();
  const auto login = patience - std::min(patience / 10, std::chrono::milliseconds(500));
  return std::make_shared<SshTransport>(context.ssh->host(ssh_settings(spec)), remote_command(command),
                                        Clock::now() + login);
}

}  // namespace

std::shared_ptr<Transport> open_transport(const TransportContext& context, const XSpec& spec,
                                          const Bootstrap& bootstrap) {
  if (spec.has("via")) spec.reject("via", "this version can start popen gateways only");
  switch (spec.kind()) {
    case TransportKind::popen: return open_popen(context, bootstrap);
    case TransportKind::socket:
    case TransportKind::unix_socket: return std::make_shared<SocketTransport>(context.runtime, socket_plan(spec));
    case TransportKind::ssh: return open_ssh(context, spec, bootstrap);
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
