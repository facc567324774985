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

class ClientProcess final : public PopenProcess {
 public:
  /// Throws SpawnError.
  ClientProcess(Runtime& runtime, const XSpec& spec, std::vector<std::string> argv,
                std::vector<std::pair<std::string, std::string>> extra_env);

  void set_worker(pid_t /*pid*/) override { answered_ = true; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::optional<ConnectionEnd> failure() override;

 private:
  const XSpec spec_;
  std::atomic<bool> answered_ = false;  // an agent has: what the client says now is no refusal
};

}  // namespace gangway::detail
