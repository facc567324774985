// An ssh of the system that leads to an agent (ssh_client=openssh).
//
// Of those that start at the same time with the same words one logs in, and the others wait for its
// connection. A server that hangs up before the login is tried again until the connect_timeout.
// Both can be because nothing is lost meanwhile: ssh reads its input when it has logged in, so what
// was written for the agent waits in the pipe, for whichever ssh gets so far.
//
// Thread rule: as of PopenProcess.
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "core/fork_guard.hpp"
#include "gateways/backoff.hpp"
#include "gateways/client_process.hpp"
#include "gateways/ssh_control.hpp"

namespace gangway::detail {

class OpensshProcess final : public ClientProcess {
 public:
  /// `control_path`: of `control`, and in `argv`; "" when there is none. Throws SpawnError.
  [[nodiscard]] static std::shared_ptr<OpensshProcess> open(Runtime& runtime, const XSpec& spec, SpawnRequest request,
                                                            std::shared_ptr<SshControl> control,
                                                            std::string control_path);
  OpensshProcess(Runtime& runtime, const XSpec& spec, SpawnRequest request, std::shared_ptr<SshControl> control,
                 std::string control_path);
  ~OpensshProcess() override { login_over(); }

  void set_worker(pid_t pid) override;
  [[nodiscard]] std::optional<ConnectionEnd> failure() override;
  void ask_keeper() noexcept override;
  void kill() noexcept override;
  void close() noexcept override;

 private:
  void begin();
  void take_turn();
  void try_to_start();
  void look_for_master();
  [[nodiscard]] bool again() override;
  void login_over() noexcept;
  void give_up() noexcept;
  void after(std::chrono::milliseconds time, void (OpensshProcess::*what)());
  void look_later();
  void set(boost::asio::steady_timer& timer, std::chrono::milliseconds time, void (OpensshProcess::*what)());
  [[nodiscard]] std::weak_ptr<OpensshProcess> weak() {
    return std::static_pointer_cast<OpensshProcess>(shared_from_this());
  }

  Runtime& runtime_;
  const ForkGuard fork_;
  const std::shared_ptr<SshControl> control_;
  const std::string control_path_;
  const std::chrono::milliseconds patience_;  // for the login of another one
  const Clock::time_point deadline_;          // for the last attempt
  std::atomic<bool> leads_ = false;           // others wait for this one's login

  std::mutex turn_mutex_;  // guards what follows; before that of PopenProcess
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer look_timer_;
  Backoff backoff_;
  bool waits_ = false;                        // for its turn
  bool given_up_ = false;                     // nothing more is to be started
  std::string failed_;                        // why it could not be started
  std::optional<ConnectionEnd> turned_away_;  // how the attempt before this one ended
};

}  // namespace gangway::detail
