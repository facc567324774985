#include "gateways/server/session.hpp"

#include <sys/socket.h>

#include <array>
#include <utility>

#include <gangway/limits.hpp>

#include "core/escape.hpp"
#include "gateways/fd_stream.hpp"
#include "gateways/server/peer_user.hpp"
#include "gateways/socket_options.hpp"
#include "gateways/tls_stream.hpp"

namespace gangway::detail {

using boost::system::error_code;

namespace {

// The first bytes come together as a rule; when they do not, this is how often we look.
constexpr std::chrono::milliseconds look_again{5};

FileDescriptor copy_of(const FileDescriptor& socket) {
  FileDescriptor copy(::fcntl(socket.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!copy) throw_error(last_os_error(), "no descriptor left");
  return copy;
}

}  // namespace

Session::Session(boost::asio::io_context& io, const ServerOptions& options, FileDescriptor socket,
                 SocketAddress listener, SocketAddress peer, Owner owner)
    : io_(io),
      options_(options),
      socket_(std::move(socket)),
      listener_(listener),
      peer_(peer),
      owner_(std::move(owner)),
      turn_(io),
      patience_(io) {}

void Session::start(std::chrono::steady_clock::time_point turn) {
  stream_ = std::make_unique<FdStream>(io_, copy_of(socket_), copy_of(socket_));
  watch_link(socket_.get(), options_.keepalive);
  patience_.expires_after(limits::greeting_time);
  patience_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->refuse("nothing that a client says came in time");
  });
  turn_.expires_at(turn);
  turn_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->owner_.on_end) self->look_at_first_bytes();
  });
}

// Who may connect without a secret.
std::string Session::why_not() const {
  if (options_.execnet_open || (options_.secret && !listener_.is_unix())) return {};
  const auto user = peer_user(socket_.get());
  if (!user) return "it cannot be seen which user connects";
  if (*user == 0 || options_.users.contains(*user)) return {};
  return "user " + std::to_string(*user) + " may not connect to this server";
}

void Session::look_at_first_bytes() {
  std::array<char, ServerRequest::prefix.size()> bytes;
  const ssize_t size = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  const auto again = [self = shared_from_this()](error_code error) {
    if (!error && self->owner_.on_end) self->look_at_first_bytes();
  };
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return stream_->wait_readable(again);
  if (size <= 0) return refuse("closed by the client");
  const std::string_view seen(bytes.data(), static_cast<std::size_t>(size));
  const bool tls = static_cast<unsigned char>(seen[0]) == TlsStream::first_byte;
  const bool secret = options_.secret && !listener_.is_unix() && !options_.execnet_open;
  if (secret && tls) return shake_hands();
  if (secret)
    return refuse(
        "it wants a secret: secret_file= in the spec, or GANGWAY_SECRET or GANGWAY_SECRET_FILE in the environment");
  if (tls) return refuse("it has no secret, so leave yours away");
  if (!options_.execnet_open) return read_request();
  if (seen == ServerRequest::prefix) return read_request();
  if (ServerRequest::prefix.starts_with(seen)) {
    turn_.expires_after(look_again);
    turn_.async_wait(again);
    return;
  }
  const auto on_request = std::move(owner_.on_request);
  owner_ = {};
  patience_.cancel();
  on_request({});
}

void Session::shake_hands() {
  auto tls = std::make_unique<TlsStream>(io_, std::move(stream_), TlsStream::Role::server, *options_.secret);
  TlsStream& handshaking = *tls;
  stream_ = std::move(tls);
  encrypted_ = true;
  handshaking.handshake(limits::greeting_bytes, [self = shared_from_this()](const std::string& problem) {
    if (!self->owner_.on_end) return;
    if (problem.empty()) return self->read_request();
    self->refuse("no TLS with our secret (" + problem + ")", true);
  });
}

void Session::read_request() {
  for (;;) {
    char byte = 0;
    const iovec into{&byte, 1};
    error_code error;
    const std::size_t size = stream_->read({&into, 1}, error);
    if (would_block(error)) break;
    if (error || size == 0) return refuse("closed by the client");
    if (byte != '\n') {
      request_ += byte;
      if (request_.size() < limits::greeting_line) continue;
    }
    const auto request = ServerRequest::parse(request_);
    if (!request)
      return refuse(request_.starts_with(ServerRequest::prefix)
                        ? "a client of a version that this server does not know"
                        : "not a Gangway client (--execnet-open serves execnet's)");
    // Not before: a connection that is closed with something unread is reset, and the reply lost.
    if (const std::string why = why_not(); !why.empty()) return refuse(why);
    const auto on_request = std::move(owner_.on_request);
    owner_ = {};
    patience_.cancel();
    return on_request(request);
  }
  stream_->wait_readable([self = shared_from_this()](error_code error) {
    if (!error && self->owner_.on_end) self->read_request();
  });
}

void Session::reply(ServerReply::Kind kind, std::string token) {
  ServerReply reply;
  reply.kind = kind;
  reply.token = std::move(token);
  write_line(reply.line());
}

void Session::tell(const DeathRecord& death, std::function<void()> on_told) {
  ServerReply reply;
  reply.kind = ServerReply::Kind::death;
  reply.death = death;
  reply.stderr_size = death.stderr_tail.size();
  rest_ = reply.line() + death.stderr_tail;
  on_told_ = std::move(on_told);
  patience_.expires_after(limits::greeting_time);
  patience_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->stream_->close();  // which whoever waits to write is told of
  });
  write_rest();
}

void Session::write_rest() {
  while (!rest_.empty()) {
    const iovec from{rest_.data(), rest_.size()};
    error_code error;
    rest_.erase(0, stream_->write({&from, 1}, error));
    if (would_block(error)) {
      stream_->wait_writable([self = shared_from_this()](error_code) { self->write_rest(); });
      return;
    }
    if (error) break;
  }
  // What is encrypted may still be on its way down.
  stream_->wait_writable([self = shared_from_this()](error_code) {
    self->patience_.cancel();
    self->part();
    std::exchange(self->on_told_, nullptr)();
  });
}

// A line fits into any socket's buffer, and nothing was written before.
void Session::write_line(const std::string& line) {
  const iovec from{const_cast<char*>(line.data()), line.size()};
  error_code ignored;
  if (stream_) (void)stream_->write({&from, 1}, ignored);
}

void Session::refuse(const std::string& why, bool wrong_secret) {
  const auto on_end = std::exchange(owner_.on_end, nullptr);
  owner_ = {};
  turn_.cancel();
  patience_.cancel();
  // In the clear before a handshake, encrypted after it; one that failed has said so in TLS's own way.
  if (!wrong_secret) write_line(ServerReply{ServerReply::Kind::refused, why}.line());
  if (stream_) part();
  socket_.reset();
  if (on_end) on_end(why, wrong_secret);
}

// What is unread would make the system reset the connection, and the client lose the last line.
void Session::part() noexcept {
  std::array<char, 4096> rest;
  ::shutdown(socket_.get(), SHUT_WR);
  for (int left = 16; left > 0 && ::recv(socket_.get(), rest.data(), rest.size(), MSG_DONTWAIT) > 0; --left) {
  }
  stream_->close();
}

}  // namespace gangway::detail
