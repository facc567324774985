// When agents are forked from a warm server, and when they are started in the ordinary way.
//
// The server comes into being, in the background, with the second agent that is started from
// the same state (or with the first, when more were announced), and is used as long as the
// state of this process is what it was then. It ends when nothing was started for a while, when
// it is told to, and with this object. GANGWAY_WARM=0 in the environment forbids it; 1 waits for a server, even
// for the first agent; anything else means "auto". Never an error: whatever is wrong with a
// server, the agent is started without it.
//
// Any thread.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>

#include "core/fork_guard.hpp"
#include "core/process.hpp"
#include "core/runtime.hpp"
#include "gateways/launch_state.hpp"
#include "gateways/warm_server.hpp"

namespace gangway::detail {

class WarmStart : public std::enable_shared_from_this<WarmStart> {
 public:
  explicit WarmStart(std::shared_ptr<Runtime> runtime);

  /// Starts the native agent that the request names, on the descriptors 0 to 2 that it names.
  /// Throws SpawnError.
  [[nodiscard]] ChildProcess start(const SpawnRequest& request);

  /// So many native agents will be started now, one after the other.
  void announce(std::size_t count);

  /// Ends the server, if there is one. It comes back when it is wanted.
  void end_server() noexcept;

 private:
  enum class Mode { never, when_it_pays, always };
  [[nodiscard]] static Mode mode() noexcept;

  [[nodiscard]] std::optional<ChildProcess> fork_agent(const SpawnRequest& request, std::chrono::milliseconds patience);
  void start_server(const SpawnRequest& request, const LaunchState& state) noexcept;
  void forget_server() noexcept;
  void watch_server();
  void end_when_idle();

  const std::shared_ptr<Runtime> runtime_;
  const ForkGuard fork_;
  std::mutex mutex_;  // guards what follows; held while a server forks
  std::optional<WarmServer> server_;
  std::optional<LaunchState> server_state_;   // from which server_ was started
  std::optional<LaunchState> last_state_;     // from which the last agent was started
  std::optional<LaunchState> useless_state_;  // from which no server was of use
  std::size_t announced_ = 0;
  boost::asio::posix::stream_descriptor ended_;  // a copy of the server's pidfd
  boost::asio::steady_timer idle_;
};

}  // namespace gangway::detail
