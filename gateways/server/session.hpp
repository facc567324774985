// One connection, from its arrival until an agent has it or it is turned away.
//
// Leading thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <string>

#include "core/byte_stream.hpp"
#include "core/file_descriptor.hpp"
#include "gateways/server/options.hpp"
#include "gateways/server_greeting.hpp"
#include "gateways/socket_address.hpp"

namespace gangway::detail {

class Session : public std::enable_shared_from_this<Session> {
 public:
  struct Owner {
    /// The client has shown that he may be here, and what he wants: the connection is the owner's now.
    /// No request: an execnet client, whose line has not been read.
    std::function<void(std::optional<ServerRequest>)> on_request;
    /// Turned away, or gone.
    std::function<void(const std::string& why, bool wrong_secret)> on_end;
  };

  Session(boost::asio::io_context& io, const ServerOptions& options, FileDescriptor socket, SocketAddress listener,
          SocketAddress peer, Owner owner);
  /// Not before `turn`.
  void start(std::chrono::steady_clock::time_point turn);
  /// Tells the client why, as far as he can still be told something, and closes the connection.
  void refuse(const std::string& why, bool wrong_secret = false);

  [[nodiscard]] const SocketAddress& peer() const noexcept { return peer_; }
  /// After on_request. Encrypted connections need somebody between them and the agent.
  [[nodiscard]] bool encrypted() const noexcept { return encrypted_; }
  [[nodiscard]] int socket() const noexcept { return socket_.get(); }
  [[nodiscard]] std::unique_ptr<ByteStream> take_stream() { return std::move(stream_); }
  /// `token`: to ask with how the agent has ended; may be empty.
  void reply(ServerReply::Kind kind, std::string token);
  /// How an agent has ended, as far as the client takes it in time; `on_told` either way.
  void tell(const DeathRecord& death, std::function<void()> on_told);

 private:
  [[nodiscard]] std::string why_not() const;
  void look_at_first_bytes();
  void shake_hands();
  void read_request();
  void write_line(const std::string& line);
  void write_rest();
  void part() noexcept;

  boost::asio::io_context& io_;
  const ServerOptions& options_;
  FileDescriptor socket_;
  const SocketAddress listener_;
  const SocketAddress peer_;
  Owner owner_;
  std::unique_ptr<ByteStream> stream_;
  bool encrypted_ = false;
  std::string request_;  // as far as it has come
  std::string rest_;     // of what it is told
  std::function<void()> on_told_;
  boost::asio::steady_timer turn_;
  boost::asio::steady_timer patience_;
};

}  // namespace gangway::detail
