// A destination, and the connections to it: as a rule one, which all gateways to the destination
// share. More only where the server takes no more channels on one (MaxSessions).
//
// Thread rule: any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <gangway/ssh.hpp>

#include "core/fork_guard.hpp"
#include "core/runtime.hpp"
#include "gateways/ssh_channel.hpp"
#include "gateways/ssh_settings.hpp"

namespace gangway::detail {

class SshLink;

class SshHost : public std::enable_shared_from_this<SshHost> {
 public:
  /// `jump`: the host to go through, or null.
  SshHost(std::shared_ptr<Runtime> runtime, SshSettings settings, SshAskpass askpass, std::shared_ptr<SshHost> jump);
  /// For logins from now on.
  void set_askpass(SshAskpass askpass);

  [[nodiscard]] const SshSettings& settings() const noexcept { return settings_; }
  /// Opens a channel, without waiting for it; a login that it needs must come to its end before
  /// the deadline.
  [[nodiscard]] std::shared_ptr<SshChannel> open(SshChannelRequest request, Clock::time_point deadline);
  /// Ends all connections.
  void close() noexcept;

 private:
  friend class SshChannel;
  friend class SshLink;

  void assign(const std::shared_ptr<SshChannel>& channel, Clock::time_point deadline);

  const std::shared_ptr<Runtime> runtime_;
  const SshSettings settings_;
  const std::shared_ptr<SshHost> jump_;

  std::mutex mutex_;  // guards what follows, the links, and their channels. After the Connection's, never before
  SshAskpass askpass_;
  std::vector<std::shared_ptr<SshLink>> links_;
  std::optional<std::size_t> most_channels_;  // of one connection, once the server has refused more
  Clock::time_point deadline_{};              // of the latest gateway that is being opened
};

/// The hosts of a group.
class SshPool {
 public:
  explicit SshPool(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}
  ~SshPool();
  SshPool(const SshPool&) = delete;
  SshPool& operator=(const SshPool&) = delete;

  /// For logins from now on.
  void set_askpass(SshAskpass askpass);
  /// The one for these settings.
  [[nodiscard]] std::shared_ptr<SshHost> host(const SshSettings& settings);

 private:
  const std::shared_ptr<Runtime> runtime_;
  const ForkGuard fork_;
  std::mutex mutex_;
  SshAskpass askpass_;
  std::vector<std::shared_ptr<SshHost>> hosts_;
};

}  // namespace gangway::detail
