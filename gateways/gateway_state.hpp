// What all copies of a Gateway share: the transport, the connection, and the story of its
// end.
//
// Lives as long as the group, a handle, or the connection needs it. Thread rule: any
// thread; the Connection::Owner functions as stated there.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <gangway/gateway.hpp>
#include <gangway/xspec.hpp>

#include "channels/connection.hpp"
#include "core/fork_guard.hpp"
#include "gateways/bootstrap.hpp"
#include "gateways/liveness.hpp"
#include "gateways/open_transport.hpp"
#include "gateways/output_queue.hpp"
#include "gateways/termination.hpp"

namespace gangway::detail {

class GatewayState final : public Connection::Owner, public std::enable_shared_from_this<GatewayState> {
 public:
  /// Opens the transport and writes bootstrap and HELLO, without waiting for an answer.
  /// Throws SpecError, StartError. `on_exit` is called by exit(), once.
  [[nodiscard]] static std::shared_ptr<GatewayState> launch(const TransportContext& context, XSpec spec,
                                                            NativeAgent native, std::function<void()> on_exit);
  ~GatewayState() override;

  /// Waits for the agent's HELLO. Throws StartError.
  void wait_ready();

  [[nodiscard]] const std::string& id() const noexcept { return id_; }
  [[nodiscard]] const XSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] AgentInfo info();
  [[nodiscard]] Connection& connection() const noexcept { return *connection_; }
  /// Throws in a forked child: it must not speak on its parent's connection.
  void check_process() const;

  [[nodiscard]] std::optional<Clock::duration> unresponsive();
  /// A status request or the like took `waited` in vain: for how long the agent is silent.
  [[nodiscard]] std::string silence(Clock::duration waited);
  void set_output(OutputQueue::Function function);
  /// Open channels; that of the output is not counted.
  [[nodiscard]] std::size_t live_channels();
  [[nodiscard]] DeathRecord death();
  [[nodiscard]] pid_t pid() const noexcept { return transport_->pid(); }
  /// Where its process is: "pid 4711", "via hub".
  [[nodiscard]] std::string place() const { return transport_->description(); }
  /// The gateway that carries this one.
  [[nodiscard]] std::shared_ptr<GatewayState> hop() const { return transport_->hop(); }

  void exit() noexcept;
  void kill() noexcept;
  /// Gone: the connection has ended, and the transport, too.
  [[nodiscard]] bool gone();
  [[nodiscard]] bool wait_gone(Deadline deadline);
  /// Notified, while it is registered, whenever something changes about gone().
  void add_end_waiter(Waiter& waiter);
  void remove_end_waiter(Waiter& waiter);
  /// Drives the end of an agent that was asked to go. True when there is nothing more to do.
  [[nodiscard]] bool enforce(Termination& termination);

 private:
  GatewayState(const TransportContext& context, XSpec spec, NativeAgent native, std::function<void()> on_exit);
  void start();
  [[nodiscard]] std::shared_ptr<OutputSink> sink_for(OutputStream stream, OutputMode mode) const;

  std::optional<std::string> on_hello(const Value& hello) override;
  std::optional<Bytes> on_need(std::string_view part) override;
  void on_pong() override;
  void on_stream_end(ConnectionEnd end) override;

  void on_transport_end();
  void after(std::chrono::milliseconds time, void (GatewayState::*what)());
  void ask_keeper() { transport_->ask_keeper(); }
  void conclude();
  void describe(ConnectionEnd& end, bool asked);
  void tick();
  void wake_waiters();

  const std::shared_ptr<Runtime> runtime_;
  const XSpec spec_;
  const std::string id_;
  const ForkGuard fork_;
  Bootstrap bootstrap_;  // written by on_hello only, under mutex_
  const std::shared_ptr<FoundInterpreters> interpreters_;
  const Clock::time_point start_deadline_;
  const std::shared_ptr<Transport> transport_;
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<OutputQueue> output_;  // none unless a stream is `callback`

  std::mutex mutex_;  // guards what follows; taken after the connection's, never before
  std::function<void()> on_exit_;
  Liveness liveness_;
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer patience_;
  std::optional<ConnectionEnd> stream_end_;  // until it is concluded
  bool asked_to_end_ = false;
  bool concluded_ = false;
  std::vector<Waiter*> waiters_;  // for the end
};

}  // namespace gangway::detail
