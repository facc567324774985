#include "gateways/socket_opening.hpp"

#include <boost/asio/post.hpp>

#include <utility>

#include <gangway/limits.hpp>

#include "agent_bundle.hpp"
#include "core/escape.hpp"
#include "gateways/fd_stream.hpp"
#include "gateways/name_lookup.hpp"
#include "gateways/socket_options.hpp"

namespace gangway::detail {

using boost::system::error_code;

namespace {

std::string hint_for(int number, const SocketAddress& address) {
  if (number == ECONNREFUSED || number == ENOENT)
    return address.is_unix() ? "; is a gwserver running there?" : "; is a server running there?";
  if (number == EACCES && address.is_unix()) return "; the socket is another user's";
  return {};
}

}  // namespace

SocketOpening::SocketOpening(std::shared_ptr<Runtime> runtime, Plan plan, Owner owner)
    : runtime_(std::move(runtime)), plan_(std::move(plan)), owner_(std::move(owner)) {}

void SocketOpening::start() {
  boost::asio::post(runtime_->io(), [self = shared_from_this()] {
    if (self->over_) return;
    if (!self->plan_.locate) return self->look_up_host();
    self->plan_.locate([self](const HostPort& where, const std::string& problem) {
      if (self->over_) return;
      if (!problem.empty()) return self->fail(errc::bootstrap_failed, problem);
      self->plan_.host = where;
      self->look_up_host();
    });
  });
  runtime_->keep_going();
}

void SocketOpening::look_up_host() {
  if (!plan_.host) return connect(plan_.addresses);
  look_up(runtime_, *plan_.host, [self = shared_from_this()](FoundAddresses found) {
    if (self->over_) return;
    if (found.addresses.empty())
      self->fail(errc::host_not_found,
                 "no such host: " + escape_for_display(self->plan_.host->host) + " (" + found.problem + ")");
    else
      self->connect(std::move(found.addresses));
  });
}

void SocketOpening::cancel() {
  if (step_ == Step::done) return;
  boost::asio::post(runtime_->io(), [self = shared_from_this()] { self->drop(); });
  runtime_->keep_going();
}

std::string SocketOpening::waiting_for() const {
  switch (step_) {
    case Step::name:
      if (plan_.locate) return plan_.name + " was not started in time";
      return "the name service has not answered for " + plan_.name;
    case Step::connection:
      return "no answer from " + plan_.name + ": it is down, or a firewall drops what is sent to it";
    case Step::handshake: return plan_.name + " has accepted the connection and does not speak TLS, or not in time";
    case Step::reply:
      return plan_.name +
             " has accepted the connection and does not answer: it may serve somebody else (an execnet "
             "server has one connection at a time), or be no server of agents";
    case Step::done: break;
  }
  return {};
}

void SocketOpening::connect(std::vector<SocketAddress> addresses) {
  step_ = Step::connection;
  const auto patience = plan_.patience / static_cast<int>(addresses.size());
  const auto connecting = std::make_shared<SocketConnect>(
      runtime_->io(), std::move(addresses), patience,
      [self = shared_from_this()](FileDescriptor socket, error_code error, const SocketAddress& address) {
        self->on_connected(std::move(socket), error, address);
      });
  connecting_ = connecting;
  connecting->start();  // may be done with it at once
}

void SocketOpening::on_connected(FileDescriptor socket, error_code error, const SocketAddress& address) {
  connecting_.reset();
  if (error) {
    const std::string where = address.text() == plan_.name ? plan_.name : plan_.name + " (" + address.text() + ")";
    return fail(error, "cannot connect to " + where + ": " + error.message() + hint_for(error.value(), address));
  }
  try {
    if (!address.is_unix()) watch_link(socket.get(), plan_.keepalive);
    const auto copy = [&] {
      FileDescriptor other(::fcntl(socket.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
      if (!other) throw_error(last_os_error(), "no descriptor left: " + last_os_error().message());
      return other;
    };
    owner_.on_connected(copy(), address);
    FileDescriptor second = copy();
    stream_ = std::make_unique<FdStream>(runtime_->io(), std::move(socket), std::move(second));
    if (!plan_.secret) return greet();
    step_ = Step::handshake;
    auto tls = std::make_unique<TlsStream>(runtime_->io(), std::move(stream_), TlsStream::Role::client, *plan_.secret);
    TlsStream& handshaking = *tls;
    stream_ = std::move(tls);
    handshaking.handshake(limits::noise, [self = shared_from_this()](const std::string& problem) {
      if (self->over_) return;
      if (problem.empty()) return self->greet();
      self->fail(errc::bootstrap_failed, self->plan_.name + " refuses the secret, or has none (" + problem +
                                             "): both sides need the same one, see secret_file=, " + secret_variable +
                                             " and " + secret_file_variable);
    });
  } catch (const Error& problem) {
    fail(problem.code(), problem.what());
  }
}

void SocketOpening::greet() {
  step_ = Step::reply;
  output_ = plan_.first_line + plan_.request.line();
  written_ = [self = shared_from_this()] { self->read_reply(); };
  write_more();
}

void SocketOpening::write_more() {
  while (!output_.empty()) {
    const iovec from{output_.data(), output_.size()};
    error_code error;
    const std::size_t size = stream_->write({&from, 1}, error);
    output_.erase(0, size);
    if (would_block(error)) {
      stream_->wait_writable([self = shared_from_this()](error_code) {
        if (!self->over_) self->write_more();
      });
      return;
    }
    // It may have said why before it closed.
    if (error && step_ == Step::reply) return read_reply();
    if (error && step_ == Step::done) break;  // an agent that has ended at once: its connection finds out how
    if (error) return on_unreadable(error);
  }
  std::exchange(written_, nullptr)();
}

// Byte by byte: what follows the line is for the connection.
void SocketOpening::read_reply() {
  for (;;) {
    char byte = 0;
    const iovec into{&byte, 1};
    error_code error;
    const std::size_t size = stream_->read({&into, 1}, error);
    if (would_block(error)) break;
    if (error || size == 0) return on_unreadable(error);
    if (byte != '\n') reply_ += byte;
    if (byte != '\n' && reply_.size() < limits::greeting_line) continue;
    const auto reply = ServerReply::parse(reply_);
    if (reply) return on_reply(*reply);
    return fail(errc::bootstrap_failed,
                plan_.name + " is not a server of agents; it says: " + escape_for_display(reply_.substr(0, 200)));
  }
  stream_->wait_readable([self = shared_from_this()](error_code) {
    if (!self->over_) self->read_reply();
  });
}

void SocketOpening::on_unreadable(error_code error) {
  std::string text = plan_.name + " has closed the connection without an answer";
  if (error) text += " (" + error.message() + ")";
  if (!reply_.empty()) text += "; it says: " + escape_for_display(reply_);
  fail(errc::bootstrap_failed, text);
}

void SocketOpening::on_reply(const ServerReply& reply) {
  const bool is_question = !plan_.request.death_of.empty();
  if (reply.kind != ServerReply::Kind::refused && (reply.kind == ServerReply::Kind::death) != is_question)
    return fail(errc::bootstrap_failed, plan_.name + " answers what it was not asked");
  switch (reply.kind) {
    case ServerReply::Kind::refused:
      return fail(errc::bootstrap_failed, plan_.name + " refuses: " + escape_for_display(reply.text));
    case ServerReply::Kind::native:
    case ServerReply::Kind::death: break;
    case ServerReply::Kind::execnet:
      output_ = execnet_start_line(portable_stage0, plan_.request.write_bytecode);
      [[fallthrough]];
    case ServerReply::Kind::portable: output_ += portable_bundle; break;
  }
  step_ = Step::done;
  written_ = [self = shared_from_this(), reply] {
    self->over_ = true;
    self->owner_.on_open(std::move(self->stream_), reply);
    self->owner_ = {};
  };
  write_more();
}

void SocketOpening::drop() {
  over_ = true;
  if (connecting_) std::exchange(connecting_, nullptr)->cancel();
  if (stream_) stream_->close();
  written_ = nullptr;
  plan_.locate = nullptr;
  owner_ = {};
}

void SocketOpening::fail(error_code code, std::string text) {
  if (over_) return;
  const auto on_failure = std::move(owner_.on_failure);
  drop();
  on_failure({code, std::move(text), {}});
}

}  // namespace gangway::detail
