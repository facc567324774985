// The socket server: takes connections, and gives each of them an agent of its own.
//
// One thread runs it all; nothing in it blocks for longer than the fork of an agent takes. What agents
// write to their stderr goes to ours by the thread of a LineWriter.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/process.hpp"
#include "gateways/server/admission.hpp"
#include "gateways/server/agent_starter.hpp"
#include "gateways/server/listener.hpp"
#include "gateways/server/options.hpp"
#include "gateways/server/questions.hpp"
#include "gateways/server/served_agent.hpp"
#include "gateways/server/session.hpp"
#include "gateways/server/watchdog.hpp"

namespace gangway::detail {

class StreamBridge;

class Server {
 public:
  using Log = std::function<void(const std::string& line)>;

  /// Listens. Throws Error, StartError: an address that cannot be had, or must not be without a secret.
  Server(ServerOptions options, Log log);
  ~Server();

  [[nodiscard]] std::vector<std::string> addresses() const;
  /// Until SIGTERM or SIGINT, or the end of the one connection of `once`. No agent is left then.
  void run();

 private:
  struct Door {
    Listener listener;
    boost::asio::posix::stream_descriptor ready;
    boost::asio::steady_timer pause;
  };
  using Id = std::uint64_t;

  void open(std::vector<Listener> listeners);
  void accept(Door& door);
  void accept_some(Door& door);
  void accept_at(Door& door, Admission::Time time);
  void begin(FileDescriptor socket, const Door& door);
  void on_request(Id id, const std::optional<ServerRequest>& request);
  void on_turned_away(Id id, const std::string& why, bool wrong_secret);
  void serve(Id id, Session& session, const std::optional<ServerRequest>& request);
  void watch(Id id, ServedAgent& agent);
  void on_exit(Id id);
  void leave_soon();
  void close_doors();
  void stop();
  void end_if_done();
  void say(Id id, const std::string& what) { log_("connection " + std::to_string(id) + what); }

  /// One line a second.
  void say_rarely(const std::string& what);

  const ServerOptions options_;
  const Log log_;
  Watchdog watchdog_;  // first: it forks
  boost::asio::io_context io_{1};
  AgentStarter starter_;
  std::vector<std::unique_ptr<Door>> doors_;
  Admission admission_;
  Id next_id_ = 1;
  std::map<Id, std::shared_ptr<Session>> sessions_;  // that have no agent yet
  std::map<Id, std::unique_ptr<ServedAgent>> agents_;
  std::map<Id, std::shared_ptr<StreamBridge>> bridges_;  // of encrypted connections
  Questions questions_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer patience_;
  bool served_ = false;  // somebody, which is enough with `once`
  bool closed_ = false;  // nobody is let in any more
  bool stopping_ = false;
  std::uint64_t not_said_ = 0;  // lines that are not in the log: what strangers do must not fill a disk
  std::chrono::steady_clock::time_point last_log_{};
};

}  // namespace gangway::detail
