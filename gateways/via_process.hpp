// The process side of a gateway with `via`: a process that another gateway, its hop, has started
// and whose streams it relays (python/agent/relay.py, spec-docs/via.md).
//
// Three channels of the hop: one carries the stream, one stderr, and the task's own signals and
// the news of the end. When the hop is gone, so is this.
//
// Thread rule: as of Transport. The mutex is taken after the connection's that uses the stream,
// and before the hop's.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gangway/xspec.hpp>

#include "gateways/channel_watch.hpp"
#include "gateways/stderr_lines.hpp"
#include "gateways/transport.hpp"

namespace gangway::detail {

class GatewayState;

class ViaProcess final : public Transport, public std::enable_shared_from_this<ViaProcess> {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  /// Asks the hop to start `argv`, which is what leads to the agent of the spec; "" as the first
  /// word is the hop's own interpreter. Throws StartError when the hop is gone.
  ViaProcess(std::shared_ptr<GatewayState> hop, const XSpec& spec, const std::vector<std::string>& argv,
             const Environment& environment);

  [[nodiscard]] std::unique_ptr<ByteStream> take_stream() override { return std::move(stream_); }
  void watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) override;

  void set_worker(pid_t /*pid*/) override { answered_ = true; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::shared_ptr<GatewayState> hop() const override { return hop_; }
  [[nodiscard]] bool ended() override;
  [[nodiscard]] DeathRecord death() override;
  [[nodiscard]] std::optional<ConnectionEnd> failure() override;

  /// The process is the keeper, or what leads to it.
  void ask_keeper() noexcept override;
  void kill() noexcept override;
  void close() noexcept override;

 private:
  using Handle = std::shared_ptr<ChannelHandle>;

  void wait_for_news();
  void on_news();
  [[nodiscard]] bool take_news(const Value& news);
  void lost_relay(const Handle& control, std::optional<std::string> error);
  void over();
  void read_errors(bool has_room = false);
  void send_signal(int number) noexcept;

  const std::shared_ptr<GatewayState> hop_;
  const XSpec spec_;
  std::atomic<bool> answered_ = false;  // an agent has: what a client says now is no refusal
  std::unique_ptr<ByteStream> stream_;

  std::mutex mutex_;  // guards what follows
  Handle data_;       // this and the others: none after close()
  Handle errors_;
  Handle control_;
  std::shared_ptr<ChannelWatch> news_;
  std::shared_ptr<ChannelWatch> data_end_;
  std::shared_ptr<ChannelWatch> more_errors_;
  StderrLines stderr_;
  std::function<void()> on_end_;
  DeathRecord death_;
  std::optional<ConnectionEnd> failure_;
  bool ended_ = false;
  bool killed_here_ = false;
  bool refused_ = false;  // until the sink of stderr has room
};

}  // namespace gangway::detail
