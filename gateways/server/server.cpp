#include "gateways/server/server.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "channels/preamble.hpp"
#include "core/escape.hpp"
#include "gateways/fd_stream.hpp"
#include "gateways/line_writer.hpp"
#include "gateways/stream_bridge.hpp"

namespace gangway::detail {

using boost::system::error_code;

namespace {

// Of a flood of strangers the log says this much.
constexpr std::chrono::seconds between_lines{1};
// After which it is tried again when there are no descriptors, memory, or processes.
constexpr std::chrono::milliseconds accept_pause{100};
// So long a client has, after the end of its agent, to take what that wrote.
constexpr std::chrono::seconds last_words_patience{5};
constexpr int accepted_in_a_row = 16;
// What agents wrote to their stderr last is under way to ours.
constexpr std::chrono::seconds stderr_patience{1};

std::vector<Listener> listeners_for(const ServerOptions& options) {
  std::vector<Listener> all = inherited_listeners();
  for (const std::string& where : options.addresses)
    for (Listener& listener : listen_on(where, options.others)) all.push_back(std::move(listener));
  if (all.empty()) throw_error(errc::bad_argument, "no address to listen on");
  for (const Listener& listener : all) {
    if (listener.address.is_unix() || listener.address.is_loopback() || options.secret || options.execnet_open)
      continue;
    for (const Listener& each : all) forget(each);
    throw_error(errc::bad_argument,
                "will not listen on " + listener.address.text() +
                    " without a secret: whoever connects could execute anything here. --secret-file FILE, or "
                    "GANGWAY_SECRET_FILE in the environment (`openssl rand -hex 32` makes one)");
  }
  return all;
}

}  // namespace

Server::Server(ServerOptions options, Log log)
    : options_(std::move(options)),
      log_(std::move(log)),
      starter_(options_.python, options_.warm),
      questions_(io_,
                 [this] {
                   if (options_.once && agents_.empty()) close_doors();
                   end_if_done();
                 }),
      signals_(io_, SIGTERM, SIGINT),
      patience_(io_) {
  open(listeners_for(options_));
  starter_.prepare();
}

Server::~Server() { close_doors(); }

void Server::open(std::vector<Listener> listeners) {
  for (Listener& listener : listeners) {
    auto door = std::make_unique<Door>(
        Door{std::move(listener), boost::asio::posix::stream_descriptor(io_), boost::asio::steady_timer(io_)});
    const int copy = ::fcntl(door->listener.socket.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0) throw_error(last_os_error(), "no descriptor left");
    door->ready.assign(copy);
    doors_.push_back(std::move(door));
  }
}

std::vector<std::string> Server::addresses() const {
  std::vector<std::string> all;
  for (const auto& door : doors_) all.push_back(door->listener.address.text());
  return all;
}

void Server::run() {
  signals_.async_wait([this](error_code error, int) {
    if (!error) stop();
  });
  for (const auto& door : doors_) accept(*door);
  io_.run();
  (void)LineWriter::shared(STDERR_FILENO)->flush(stderr_patience);
}

// --- connections

void Server::accept(Door& door) {
  door.ready.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, &door](error_code error) {
    if (!error) accept_some(door);
  });
}

void Server::accept_some(Door& door) {
  if (closed_) return;
  for (int accepted = 0; accepted < accepted_in_a_row; ++accepted) {
    const auto now = std::chrono::steady_clock::now();
    if (const auto room = admission_.room_at(now); room > now) return accept_at(door, room);
    FileDescriptor socket(::accept4(door.listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
      say_rarely("cannot accept: " + last_os_error().message());
      return accept_at(door, std::chrono::steady_clock::now() + accept_pause);
    }
    if (!socket && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (!socket) break;
    if (!avoid_standard_numbers(socket)) continue;
    try {
      begin(std::move(socket), door);
    } catch (const Error& problem) {
      say_rarely(std::string("cannot serve: ") + problem.what());
    }
    if (closed_) return;
  }
  accept(door);
}

void Server::accept_at(Door& door, Admission::Time time) {
  door.pause.expires_at(time);
  door.pause.async_wait([this, &door](error_code error) {
    if (!error) accept_some(door);
  });
}

void Server::begin(FileDescriptor socket, const Door& door) {
  const SocketAddress peer = SocketAddress::peer(socket.get());
  const Id id = next_id_++;
  Session::Owner owner;
  owner.on_request = [this, id](const std::optional<ServerRequest>& request) { on_request(id, request); };
  owner.on_end = [this, id](const std::string& why, bool wrong_secret) { on_turned_away(id, why, wrong_secret); };
  const auto session =
      std::make_shared<Session>(io_, options_, std::move(socket), door.listener.address, peer, std::move(owner));
  session->start(admission_.may_try(peer.source(), std::chrono::steady_clock::now()));
  sessions_[id] = session;
  if (const auto leaves = admission_.enter(id, std::chrono::steady_clock::now())) {
    const auto found = sessions_.find(*leaves);
    if (found != sessions_.end()) std::shared_ptr(found->second)->refuse("too many connections that say nothing yet");
  }
}

void Server::on_turned_away(Id id, const std::string& why, bool wrong_secret) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  const auto session = std::move(found->second);
  sessions_.erase(found);
  admission_.leave(id);
  const auto now = std::chrono::steady_clock::now();
  if (wrong_secret) admission_.failed(session->peer().source(), now);
  say_rarely("connection " + std::to_string(id) + " from " + session->peer().text() + " turned away: " + why);
}

void Server::say_rarely(const std::string& what) {
  const auto now = std::chrono::steady_clock::now();
  if (now < last_log_ + between_lines) {
    ++not_said_;
    return;
  }
  last_log_ = now;
  log_(what + (not_said_ > 0 ? ", and " + std::to_string(not_said_) + " others" : ""));
  not_said_ = 0;
}

void Server::on_request(Id id, const std::optional<ServerRequest>& request) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  const auto session = std::move(found->second);
  sessions_.erase(found);
  admission_.leave(id);
  if (request && !request->death_of.empty()) return questions_.ask(session, request->death_of);
  std::string why;
  if (stopping_) {
    why = "it is ending";
  } else if (served_ && options_.once) {
    why = "it serves one connection, and has";
  } else if (agents_.size() >= options_.max_connections) {
    why = "it has " + std::to_string(agents_.size()) + " connections, and may not have more";
  } else {
    try {
      return serve(id, *session, request);
    } catch (const Error& problem) {
      why = std::string("no agent could be started: ") + problem.what();
    }
  }
  say(id, " from " + session->peer().text() + " turned away: " + why);
  session->refuse(why);
}

void Server::serve(Id id, Session& session, const std::optional<ServerRequest>& request) {
  Pipe errors = make_pipe();
  auto agent = std::make_unique<ServedAgent>(io_, std::move(errors.read));
  FileDescriptor ours;
  FileDescriptor agents;
  int socket = session.socket();
  if (session.encrypted()) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
      throw_error(last_os_error(), last_os_error().message());
    ours.reset(pair[0]);
    agents.reset(pair[1]);
    socket = agents.get();
  }
  std::string token;
  if (request && request->wants_token) token = to_hex(make_nonce());
  if (request) {
    agent->child = starter_.start(*request, socket, errors.write.get());
    session.reply(starter_.kind(), token);
  } else {
    (void)set_nonblocking(socket, false);
    agent->child = starter_.start_execnet(socket, errors.write.get());
  }
  watchdog_.watch(agent->child.pid());
  say(id, " from " + session.peer().text() + ": agent " + std::to_string(agent->child.pid()) + " started");
  auto stream = session.take_stream();
  if (session.encrypted()) {
    FileDescriptor second(::fcntl(ours.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    auto inner = std::make_unique<FdStream>(io_, std::move(ours), std::move(second));
    bridges_[id] = std::make_shared<StreamBridge>(std::move(stream), std::move(inner), [this, id] {
      bridges_.erase(id);
      end_if_done();
    });
    bridges_[id]->start(io_);
  } else {
    stream->close();  // the connection is the agent's alone
  }
  watch(id, *agent);
  agents_[id] = std::move(agent);
  served_ = true;
  if (options_.once && token.empty()) close_doors();
  questions_.enter(id, std::move(token));
  starter_.prepare();
}

// --- agents

void Server::watch(Id id, ServedAgent& agent) {
  const int copy = ::fcntl(agent.child.pidfd(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0) throw_error(last_os_error(), "no descriptor left");
  agent.exited.assign(copy);
  agent.exited.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, id](error_code error) {
    if (!error) on_exit(id);
  });
}

void Server::on_exit(Id id) {
  const auto found = agents_.find(id);
  if (found == agents_.end()) return;
  ServedAgent& agent = *found->second;
  watchdog_.forget(agent.child.pid());
  agent.child.signal_group(SIGKILL);  // what the keeper may have left in its own group
  const auto status = agent.child.try_reap();
  DeathRecord record = agent.death();
  say(id, ": agent " + std::to_string(agent.child.pid()) + " has ended" +
              (status && !status->success() ? ": " + record.summary() : ""));
  agents_.erase(found);
  questions_.died(id, std::move(record));
  if (bridges_.contains(id)) {  // what it wrote last is still under way
    const auto patience = std::make_shared<boost::asio::steady_timer>(io_, last_words_patience);
    patience->async_wait([this, id, patience](error_code) {
      const auto bridge = bridges_.find(id);
      if (bridge != bridges_.end()) std::shared_ptr(bridge->second)->close();
    });
  }
  starter_.prepare();
  if (options_.once) leave_soon();
  end_if_done();
}

// Whoever may ask how the agent has ended has a moment for it.
void Server::leave_soon() {
  if (questions_.answering() || closed_) return;
  patience_.expires_after(limits::death_awaited);
  patience_.async_wait([this](error_code error) {
    if (error) return;
    close_doors();
    end_if_done();
  });
}

// --- the end

void Server::close_doors() {
  closed_ = true;
  for (const auto& door : doors_) {
    forget(door->listener);
    error_code ignored;
    door->ready.close(ignored);
    door->listener.socket.reset();
    door->pause.cancel();
  }
}

void Server::stop() {
  if (std::exchange(stopping_, true)) return;
  log_("ending");
  close_doors();
  const auto sessions = sessions_;
  for (const auto& [id, session] : sessions) session->refuse("it is ending");
  for (const auto& [id, agent] : agents_) agent->child.signal(SIGTERM);  // to the keeper, which kills its agent
  patience_.expires_after(limits::kill_grace);
  patience_.async_wait([this](error_code error) {
    if (error) return;
    for (const auto& [id, agent] : agents_) agent->child.signal_group(SIGKILL);
    agents_.clear();  // whoever cannot be killed is left behind
    end_if_done();
  });
  end_if_done();
}

void Server::end_if_done() {
  if (!closed_ || !agents_.empty() || ((!bridges_.empty() || questions_.answering()) && !stopping_)) return;
  patience_.cancel();
  signals_.cancel();
  starter_.close();
  io_.stop();
}

}  // namespace gangway::detail
