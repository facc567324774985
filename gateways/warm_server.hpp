// A warm server: a native agent that has started Python and, instead of serving a
// connection, forks agents that do. What it forks are children of this process, not of the
// server (CLONE_PARENT): they are watched, signalled and reaped like those that were
// started in the ordinary way.
//
// Used by one thread at a time. The destructor ends the server; its agents stay.
#pragma once

#include <chrono>
#include <optional>

#include "core/process.hpp"

namespace gangway::detail {

class WarmServer {
 public:
  /// Starts it and does not wait. Of the request, arguments and environment count.
  /// Throws SpawnError, or Error when the system has no descriptors left.
  explicit WarmServer(const SpawnRequest& request, ProcessOps& ops = ProcessOps::system());
  ~WarmServer();
  WarmServer(const WarmServer&) = delete;
  WarmServer& operator=(const WarmServer&) = delete;

  enum class Condition {
    starting,
    ready,
    unfit,  // an agent that it forked would differ from a fresh one, or it never came to answer
    gone,   // it has ended, or does not answer any more
  };
  /// Waits up to `patience` while it is starting.
  [[nodiscard]] Condition condition(std::chrono::milliseconds patience = {});

  /// An agent's keeper, leader of its own process group. The request's descriptors must be
  /// those for 0, 1 and 2. Nothing when the server did not do it: it is gone, or lacked something.
  /// Throws SpawnError when the agent cannot be watched.
  [[nodiscard]] std::optional<ChildProcess> fork_agent(const SpawnRequest& request);

  /// Lets it end, without waiting for that. Nothing more is forked.
  void hang_up() noexcept;
  [[nodiscard]] bool has_ended() noexcept { return process_.has_ended(); }
  /// Readable once it has ended.
  [[nodiscard]] int pidfd() const noexcept { return process_.pidfd(); }

 private:
  void end() noexcept;

  ProcessOps& ops_;
  FileDescriptor socket_;
  ChildProcess process_;
  Condition condition_ = Condition::starting;
};

}  // namespace gangway::detail
