// A gateway through a socket: `socket=host:port` and `unix=path`, to a gwserver or a plain execnet
// server.
//
// There is no process of this machine's to watch. The agent's keeper watches the other end of the
// connection, so closing it is how an agent is ended that does not end itself.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/runtime.hpp"
#include "gateways/deferred_stream.hpp"
#include "gateways/socket_opening.hpp"
#include "gateways/transport.hpp"

namespace gangway::detail {

class SocketTransport final : public Transport, public std::enable_shared_from_this<SocketTransport> {
 public:
  SocketTransport(std::shared_ptr<Runtime> runtime, SocketOpening::Plan plan);

  [[nodiscard]] std::unique_ptr<ByteStream> take_stream() override;
  void watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) override;
  [[nodiscard]] std::string description() const override { return "socket " + name_; }
  [[nodiscard]] bool ended() override;
  /// Nothing is known: what is left of the agent is on the other side.
  [[nodiscard]] DeathRecord death() override { return {}; }
  [[nodiscard]] std::optional<ConnectionEnd> failure() override;
  void ask_keeper() noexcept override { kill(); }
  void kill() noexcept override;
  void close() noexcept override { hang_up(); }

 private:
  void on_connected(FileDescriptor socket);
  void on_failure(ConnectionEnd end);
  void on_stream_end(boost::system::error_code error);
  void hang_up() noexcept;
  void end(std::unique_lock<std::mutex>& lock);

  const std::shared_ptr<Runtime> runtime_;
  const std::string name_;
  const std::shared_ptr<DeferredStream::Door> door_;
  SocketOpening::Plan plan_;  // until watch()

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<SocketOpening> opening_;
  FileDescriptor socket_;  // a copy, to be shut down
  bool ended_ = false;
  std::optional<ConnectionEnd> failure_;
  std::function<void()> on_end_;
};

}  // namespace gangway::detail
