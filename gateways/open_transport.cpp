#include "gateways/open_transport.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <gangway/error.hpp>

#include "gateways/client_process.hpp"
#include "gateways/gateway_state.hpp"
#include "gateways/install_server.hpp"
#include "gateways/launch_command.hpp"
#include "gateways/openssh_process.hpp"
#include "gateways/popen_process.hpp"
#include "gateways/remote_command.hpp"
#include "gateways/socket_spec.hpp"
#include "gateways/socket_transport.hpp"
#include "gateways/ssh_transport.hpp"
#include "gateways/via_process.hpp"

namespace gangway::detail {

namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

Environment agent_environment(const TransportContext& context) { return {{"GANGWAY_COOKIE", context.cookie}}; }

std::shared_ptr<Transport> open_popen(const TransportContext& context, const Bootstrap& bootstrap) {
  SpawnRequest request;
  request.argv = bootstrap.argv();
  request.extra_env = agent_environment(context);
  return std::make_shared<PopenProcess>(*context.runtime, std::move(request), PopenProcess::Start::now,
                                        bootstrap.may_be_forked() ? context.warm.get() : nullptr);
}

// By libssh, in this process.
std::shared_ptr<Transport> open_ssh(const TransportContext& context, const XSpec& spec, const Bootstrap& bootstrap) {
  const auto arguments = bootstrap.arguments();
  const RemoteCommand command{
      spec.python_command(), {arguments.begin(), arguments.end()}, context.cookie, context.interpreters->of(spec)};
  // The login gives up a little before the gateway does: its error says more.
  const auto patience = spec.connect_timeout();
  const auto login = patience - std::min(patience / 10, std::chrono::milliseconds(500));
  return std::make_shared<SshTransport>(context.ssh->host(ssh_settings(spec)), remote_command(command),
                                        Clock::now() + login);
}

// By SSH_ASKPASS, as the user of a desktop has it, or whoever wants to give a passphrase.
bool has_askpass() {
  const auto is_set = [](const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  return is_set("SSH_ASKPASS");
}

std::shared_ptr<Transport> open_client(const TransportContext& context, const XSpec& spec, const Bootstrap& bootstrap) {
  LaunchSettings settings;
  settings.cookie = context.cookie;
  settings.found_before = context.interpreters->of(spec);
  settings.is_root = ::geteuid() == 0;
  settings.askpass = has_askpass();
  const bool is_ssh = spec.kind() == TransportKind::ssh;
  if (is_ssh) settings.control_path = context.ssh_control->path(spec);
  SpawnRequest request;
  request.argv = launch_command(spec, bootstrap, settings);
  request.extra_env = agent_environment(context);
  // Never on a terminal: that belongs to the program, and there may be many of us.
  if (settings.askpass) request.extra_env.emplace_back("SSH_ASKPASS_REQUIRE", "force");
  if (is_ssh)
    return OpensshProcess::open(*context.runtime, spec, std::move(request), context.ssh_control, settings.control_path);
  return std::make_shared<ClientProcess>(*context.runtime, spec, std::move(request));
}

// ssh_client=openssh, or nothing.
bool wants_openssh(const XSpec& spec) {
  const auto client = spec.argument("ssh_client");
  if (client && *client != "openssh" && *client != "libssh")
    spec.reject("ssh_client", "ssh_client= is openssh or libssh, not '" + *client + "'");
  return client == "openssh";
}

// The process that another gateway is to start. What is known of this machine and its user is of
// no use there: nobody is asked for a passphrase, and every ssh logs in.
std::vector<std::string> command_at_hop(const TransportContext& context, const XSpec& spec,
                                        const Bootstrap& bootstrap) {
  LaunchSettings settings;
  settings.cookie = context.cookie;
  settings.found_before = context.interpreters->of(spec);
  settings.is_root = true;  // su there may say otherwise
  auto argv = launch_command(spec, bootstrap, settings);
  if (spec.kind() == TransportKind::popen && spec.python_command().empty())
    argv.front().clear();  // the hop's own interpreter
  return argv;
}

std::shared_ptr<Transport> open_via(const TransportContext& context, const XSpec& spec, const Bootstrap& bootstrap) {
  const std::string id = spec.via().value();
  auto hop = context.member(id);
  if (!hop) throw_error(errc::group_error, "via=" + id + ": the group has no gateway " + id);
  return std::make_shared<ViaProcess>(std::move(hop), spec, command_at_hop(context, spec, bootstrap),
                                      agent_environment(context));
}

}  // namespace

std::shared_ptr<Transport> open_transport(const TransportContext& context, const XSpec& spec,
                                          const Bootstrap& bootstrap) {
  if (spec.kind() != TransportKind::ssh && spec.has("compress"))
    spec.reject("compress",
                "compress= switches ssh's own compression; there is none for " + std::string(to_string(spec.kind())));
  if (spec.has("via")) return open_via(context, spec, bootstrap);
  switch (spec.kind()) {
    case TransportKind::popen: return open_popen(context, bootstrap);
    case TransportKind::ssh:
      if (wants_openssh(spec)) return open_client(context, spec, bootstrap);
      return open_ssh(context, spec, bootstrap);
    case TransportKind::socket:
    case TransportKind::unix_socket:
      return std::make_shared<SocketTransport>(
          context.runtime, spec.has("installvia") ? install_plan(context, spec) : socket_plan(spec));
    case TransportKind::vagrant_ssh:
    case TransportKind::command:
    case TransportKind::docker:
    case TransportKind::podman:
    case TransportKind::kubectl:
    case TransportKind::sudo:
    case TransportKind::su:
    case TransportKind::doas:
    case TransportKind::nsenter:
    case TransportKind::unshare:
    case TransportKind::slurm: return open_client(context, spec, bootstrap);
  }
  spec.reject(to_string(spec.kind()), "this version cannot start such gateways");
}

}  // namespace gangway::detail
