// Starts the process that serves a connection: the native agent, as a rule forked from one that
// has started Python already; the interpreter that `--python` names; or what an execnet client needs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/process.hpp"
#include "gateways/server_greeting.hpp"
#include "gateways/warm_server.hpp"

namespace gangway::detail {

class AgentStarter {
 public:
  /// `python`: a command line, empty for the native agent. Throws StartError when there is no native agent.
  AgentStarter(std::vector<std::string> python, bool warm);

  /// What the client has to be told.
  [[nodiscard]] ServerReply::Kind kind() const noexcept;
  /// On a socket, which becomes its descriptors 0 and 1, and with this stderr. Throws SpawnError.
  [[nodiscard]] ChildProcess start(const ServerRequest& request, int socket, int errors);
  /// Executes what an execnet client sends. Throws SpawnError.
  [[nodiscard]] ChildProcess start_execnet(int socket, int errors);
  /// A warm server has to be there before it is needed.
  void prepare() noexcept;
  void close() noexcept { warm_server_.reset(); }

 private:
  [[nodiscard]] SpawnRequest request_for(std::vector<std::string> argv, int socket, int errors) const;

  const std::vector<std::string> python_;
  const std::string agent_;
  const std::string cookie_;
  bool warm_;
  std::optional<WarmServer> warm_server_;
};

}  // namespace gangway::detail
