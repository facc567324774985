// A program on this machine that leads to an agent somewhere else: ssh, sudo, docker exec, srun.
//
// The keeper is at the far end, and sees the end of the stream when this process is gone; so
// killing means killing the client. Pids that the agent tells are of its own place, and mean
// nothing here.
//
// Thread rule: as of PopenProcess.
#pragma once

#include <atomic>

#include <gangway/xspec.hpp>

#include "gateways/popen_process.hpp"

namespace gangway::detail {

class ClientProcess : public PopenProcess {
 public:
  /// Throws SpawnError.
  ClientProcess(Runtime& runtime, const XSpec& spec, SpawnRequest request, Start start = Start::now);

  void set_worker(pid_t /*pid*/) override { answered_ = true; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::optional<ConnectionEnd> failure() override;

  void ask_keeper() noexcept override;
  /// Of srun the first time only a TERM: a step outlives an srun that had no time to end it.
  void kill() noexcept override;

 protected:
  [[nodiscard]] bool answered() const noexcept { return answered_; }

 private:
  const XSpec spec_;
  const bool ends_step_;
  std::atomic<bool> asked_ = false;
  std::atomic<bool> answered_ = false;  // an agent has: what the client says now is no refusal
};

}  // namespace gangway::detail
