#include "gateways/server/agent_starter.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "agent_bundle.hpp"
#include "core/trace.hpp"
#include "gateways/agent_path.hpp"
#include "gateways/cookie.hpp"
#include "gateways/secret.hpp"

namespace gangway::detail {

namespace {

// What an execnet server offers to the source that it executes, found out by talking to one. The line
// is read up to its end and not further.
constexpr const char* execnet_program = R"(
import ast, socket
clientsock = socket.socket(fileno=0)
line = bytearray()
while not line.endswith(b"\n"):
    seen = clientsock.recv(65536, socket.MSG_PEEK)
    if not seen:
        raise SystemExit(1)
    line += clientsock.recv(seen.find(b"\n") + 1 or len(seen))
source = ast.literal_eval(line.decode("utf-8").strip())
try:
    address = clientsock.getpeername()
except OSError:
    address = ""
exec(compile(source, "<execnet client>", "exec"), {"__builtins__": __builtins__, "__name__": "__main__",
                                                   "clientsock": clientsock, "address": address})
)";

// Relative paths in these mean something else after a chdir that the client may ask for.
bool may_be_forked() {
  constexpr std::array paths{"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"};
  return std::none_of(paths.begin(), paths.end(), [](const char* name) { return std::getenv(name) != nullptr; });
}

}  // namespace

AgentStarter::AgentStarter(std::vector<std::string> python, bool warm)
    : python_(std::move(python)),
      agent_(native_agent_path()),
      cookie_(agent_cookie()),
      warm_(warm && python_.empty() && may_be_forked()) {}

ServerReply::Kind AgentStarter::kind() const noexcept {
  return python_.empty() ? ServerReply::Kind::native : ServerReply::Kind::portable;
}

SpawnRequest AgentStarter::request_for(std::vector<std::string> argv, int socket, int errors) const {
  SpawnRequest request;
  request.argv = std::move(argv);
  request.extra_env = {{"GANGWAY_COOKIE", cookie_}};
  request.descriptors = {{socket, STDIN_FILENO}, {socket, STDOUT_FILENO}, {errors, STDERR_FILENO}};
  return request;
}

void AgentStarter::prepare() noexcept {
  if (!warm_) return;
  if (warm_server_) {
    switch (warm_server_->condition()) {
      case WarmServer::Condition::starting:
      case WarmServer::Condition::ready: return;
      case WarmServer::Condition::unfit: warm_ = false; break;
      case WarmServer::Condition::gone: break;
    }
    warm_server_.reset();
    if (!warm_) return;
  }
  try {
    warm_server_.emplace(request_for({agent_}, STDIN_FILENO, STDERR_FILENO));
  } catch (const Error& problem) {
    trace::log("no warm server: ", problem.what());
  }
}

ChildProcess AgentStarter::start(const ServerRequest& request, int socket, int errors) {
  std::vector<std::string> argv = python_.empty() ? std::vector{agent_} : python_;
  if (!python_.empty()) argv.emplace_back("-u");
  if (!request.write_bytecode) argv.emplace_back("-B");
  if (!python_.empty()) argv.insert(argv.end(), {"-c", std::string(portable_stage0)});
  const SpawnRequest spawn = request_for(std::move(argv), socket, errors);
  if (request.write_bytecode && warm_server_ && warm_server_->condition() == WarmServer::Condition::ready) {
    if (auto child = warm_server_->fork_agent(spawn)) return std::move(*child);
  }
  return ChildProcess::start(spawn);
}

ChildProcess AgentStarter::start_execnet(int socket, int errors) {
  std::vector<std::string> command = python_.empty() ? std::vector<std::string>{"python3"} : python_;
  // The native agent's keeper does for it what it does for agents.
  std::vector<std::string> argv{agent_, "--keep"};
  argv.insert(argv.end(), command.begin(), command.end());
  argv.insert(argv.end(), {"-u", "-c", execnet_program});
  return ChildProcess::start(request_for(std::move(argv), socket, errors));
}

}  // namespace gangway::detail
