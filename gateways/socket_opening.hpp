// The way from an address to a stream with an agent at its other end: connect, TLS where there is
// a secret, one line each way (server_greeting.hpp), and what the far side needs before HELLO.
//
// Leading thread only, but for cancel().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "channels/connection.hpp"
#include "core/runtime.hpp"
#include "gateways/secret.hpp"
#include "gateways/server_greeting.hpp"
#include "gateways/socket_address.hpp"
#include "gateways/socket_connect.hpp"
#include "gateways/tls_stream.hpp"

namespace gangway::detail {

class SocketOpening : public std::enable_shared_from_this<SocketOpening> {
 public:
  /// Where the server is, or why there is none. Leading thread.
  using Located = std::function<void(const HostPort& where, const std::string& problem)>;
  struct Plan {
    std::string name;                     // of the server, for texts: "127.0.0.1:8888", "/run/x"
    std::function<void(Located)> locate;  // where nobody knows yet; else:
    std::optional<HostPort> host;         // has to be looked up; else:
    std::vector<SocketAddress> addresses;
    std::string first_line;  // before the request; may be empty
    std::optional<Secret> secret;
    ServerRequest request;
    std::chrono::milliseconds keepalive{};
    std::chrono::milliseconds patience{};  // for all of it
  };
  struct Owner {
    /// The socket, for whoever has to shut it down, and where it leads; the stream is still being opened.
    std::function<void(FileDescriptor, const SocketAddress&)> on_connected;
    /// With what the server has said.
    std::function<void(std::unique_ptr<ByteStream>, const ServerReply&)> on_open;
    std::function<void(ConnectionEnd)> on_failure;
  };

  SocketOpening(std::shared_ptr<Runtime> runtime, Plan plan, Owner owner);
  void start();
  /// Any thread. Nobody is told anything any more.
  void cancel();
  /// What it is waiting for, for the text of a timeout. Any thread.
  [[nodiscard]] std::string waiting_for() const;

 private:
  enum class Step { name, connection, handshake, reply, done };

  void look_up_host();
  void connect(std::vector<SocketAddress> addresses);
  void on_connected(FileDescriptor socket, boost::system::error_code error, const SocketAddress& address);
  void greet();
  void write_more();
  void read_reply();
  void on_reply(const ServerReply& reply);
  void on_unreadable(boost::system::error_code error);
  void drop();
  void fail(boost::system::error_code code, std::string text);

  const std::shared_ptr<Runtime> runtime_;
  Plan plan_;
  Owner owner_;
  std::atomic<Step> step_{Step::name};
  std::shared_ptr<SocketConnect> connecting_;
  std::unique_ptr<ByteStream> stream_;
  std::string output_;             // to be written
  std::function<void()> written_;  // and then
  std::string reply_;              // as far as it has come
  bool over_ = false;
};

}  // namespace gangway::detail
