// A gateway through a socket: `socket=host:port` and `unix=path`, to a gwserver or a plain execnet
// server.
//
// There is no process of this machine's to watch. The agent's keeper watches the other end of the
// connection, so closing it is how an agent is ended that does not end itself. How it has ended the
// server is asked for, when the stream ends unasked.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/runtime.hpp"
#include "gateways/death_inquiry.hpp"
#include "gateways/deferred_stream.hpp"
#include "gateways/socket_opening.hpp"
#include "gateways/transport.hpp"

namespace gangway::detail {

class SocketTransport final : public Transport, public std::enable_shared_from_this<SocketTransport> {
 public:
  SocketTransport(std::shared_ptr<Runtime> runtime, SocketOpening::Plan plan);

  [[nodiscard]] std::unique_ptr<ByteStream> take_stream() override;
  void watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) override;
  void on_stream_end(bool asked) noexcept override;
  [[nodiscard]] std::string description() const override { return "socket " + name_; }
  [[nodiscard]] bool ended() override;
  /// As the server tells.
  [[nodiscard]] DeathRecord death() override;
  [[nodiscard]] std::optional<ConnectionEnd> failure() override;
  /// Of no use once the stream has ended: the other end of it has, too.
  void ask_keeper() noexcept override;
  void kill() noexcept override;
  void close() noexcept override { hang_up(); }

 private:
  void on_connected(FileDescriptor socket, const SocketAddress& address);
  void on_reply(const ServerReply& reply);
  void on_failure(ConnectionEnd end);
  void on_last_byte(boost::system::error_code error);
  void on_stream_closed() noexcept;
  void on_answer(std::optional<DeathRecord> record);
  void hang_up() noexcept;
  void end(std::unique_lock<std::mutex>& lock);

  const std::shared_ptr<Runtime> runtime_;
  const std::string name_;
  const std::shared_ptr<DeferredStream::Door> door_;
  SocketOpening::Plan plan_;      // until watch()
  SocketOpening::Plan question_;  // how the agent has ended; without a token there is none

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<SocketOpening> opening_;
  FileDescriptor socket_;     // a copy, to be shut down
  bool stream_over_ = false;  // and the server may know why
  bool ended_ = false;
  std::shared_ptr<DeathInquiry> inquiry_;
  DeathRecord death_;
  std::optional<ConnectionEnd> failure_;
  std::function<void()> on_end_;
};

}  // namespace gangway::detail
