// An agent behind an ssh channel: started by the login shell of the far side, ended by its
// keeper when the channel is closed or the connection is lost.
//
// Thread rule: as Transport.
#pragma once

#include <memory>
#include <string>

#include "gateways/ssh_host.hpp"
#include "gateways/transport.hpp"

namespace gangway::detail {

class SshTransport final : public Transport {
 public:
  SshTransport(const std::shared_ptr<SshHost>& host, std::string command, Clock::time_point deadline);

  [[nodiscard]] std::unique_ptr<ByteStream> take_stream() override;
  void watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) override;
  [[nodiscard]] std::string description() const override { return description_; }
  [[nodiscard]] bool ended() override { return channel_->ended(); }
  [[nodiscard]] DeathRecord death() override { return channel_->death(); }
  [[nodiscard]] std::optional<ConnectionEnd> failure() override { return channel_->failure(); }

  /// TERM for the keeper, which kills the agent's group. A gateway that has got nowhere yet is
  /// given up.
  void ask_keeper() noexcept override;
  /// KILL for the keeper, which takes the agent's group with it; the channel is closed, so that
  /// a keeper that cannot be signalled finds that out by itself.
  void kill() noexcept override;
  void close() noexcept override;

 private:
  const std::shared_ptr<SshChannel> channel_;
  const std::string description_;
};

}  // namespace gangway::detail
