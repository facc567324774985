#include "gateways/install_server.hpp"

#include <boost/asio/post.hpp>

#include <stdexcept>

#include <gangway/limits.hpp>

#include "agent_bundle.hpp"
#include "channels/preamble.hpp"
#include "core/escape.hpp"
#include "gateways/gateway_access.hpp"
#include "gateways/socket_spec.hpp"

namespace gangway::detail {

using boost::system::error_code;

namespace {

// Runs on Python 3.6. Stays until the agent has ended, as its parent.
constexpr const char* server_source = R"(
def serve(channel, host, port, token, words, patience, most):
    import hmac, socket, subprocess, sys, time
    place = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0]
    server = socket.socket(place[0], place[1])
    try:
        server.bind(place[4])
        server.listen(5)
        channel.send(server.getsockname()[1])
        deadline = time.monotonic() + patience
        connection = None
        while connection is None:
            if channel.isclosed() or time.monotonic() > deadline:
                return
            server.settimeout(0.5)
            try:
                connection, peer = server.accept()
            except socket.timeout:
                continue
            end = time.monotonic() + 1
            text = b""
            try:
                while text.count(b"\n") < 2 and len(text) < most:
                    connection.settimeout(max(0.001, end - time.monotonic()))
                    byte = connection.recv(1)
                    if not byte:
                        break
                    text += byte
            except OSError:
                pass
            if not hmac.compare_digest(text.partition(b"\n")[0], token):
                connection.close()
                connection = None
    finally:
        server.close()
    connection.settimeout(None)
    with connection:
        connection.sendall(b"GW1 portable\n")
        process = subprocess.Popen([sys.executable] + words, stdin=connection, stdout=connection)
    process.wait()
)";

constexpr const char* usual_host = "127.0.0.1";

/// Why a task has ended: the last line of its traceback, or of what happened to its gateway.
std::string reason(const Channel& channel, error_code error) {
  std::string text = channel.error_text();
  while (text.ends_with('\n')) text.pop_back();
  if (text.empty()) return error.message();
  return escape_for_display(text.substr(text.rfind('\n') + 1));
}

HostPort place_for(const XSpec& spec) {
  if (!spec.has("socket") || spec.is_true("socket")) return {usual_host, 0};
  const std::string text = spec.argument("socket").value();
  try {
    const bool has_port = text.find(':') != text.npos && !text.ends_with(']');
    return HostPort::parse(has_port ? text : text + ":0");
  } catch (const std::invalid_argument& problem) {
    spec.reject("socket", problem.what());
  }
}

}  // namespace

SocketOpening::Plan install_plan(const TransportContext& context, const XSpec& spec) {
  if (spec.has("secret_file"))
    spec.reject("secret_file", "it is for a gwserver; the server of installvia= gets a token of its own");
  const std::string id = spec.installvia().value();
  const HostPort place = place_for(spec);
  const auto state = context.member(id);
  if (!state) throw_error(errc::group_error, "installvia=" + id + ": there is no such gateway");

  const std::string token = to_hex(make_nonce());
  List words{"-u"};
  if (spec.dont_write_bytecode()) words.push_back("-B");
  words.push_back("-c");
  words.push_back(portable_stage0);
  const auto patience = std::chrono::duration<double>(spec.connect_timeout()).count();
  auto channel = std::make_shared<Channel>(
      GatewayAccess::gateway(state).remote_exec(Source{server_source, "<socket server>", "serve"},
                                                Dict{{"host", place.host},
                                                     {"port", static_cast<std::int64_t>(place.port)},
                                                     {"token", Bytes(token)},
                                                     {"words", std::move(words)},
                                                     {"patience", patience},
                                                     {"most", static_cast<std::int64_t>(2 * limits::greeting_line)}}));

  SocketOpening::Plan plan = common_plan(spec);
  plan.name = "the server installed via " + id;
  plan.first_line = token + "\n";
  plan.locate = [runtime = context.runtime, channel, place, id](SocketOpening::Located done) {
    channel->async_receive([runtime, channel, place, id, done = std::move(done)](error_code error, const Value& port) {
      std::string text;
      if (error || !port.is_int())
        text = "installvia=" + id + ": no server could be started there: " + reason(*channel, error);
      HostPort where = place;
      if (text.empty()) where.port = static_cast<std::uint16_t>(port.as_int());
      boost::asio::post(runtime->io(), [done, where, text] { done(where, text); });
      runtime->keep_going();
    });
  };
  return plan;
}

}  // namespace gangway::detail
