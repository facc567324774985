// A wait of a thread that runs Python code: signals and interrupts end it.
//
// While the main thread waits, signal.set_wakeup_fd leads to us. Only the main thread may
// call it, so nobody can notice; what user code has set there (asyncio) is put back, and is
// told of the signals that came meanwhile.
// Thread rule: construct and destroy with the GIL held.
#pragma once

#include "python/common/side.hpp"
#include "python/native/agent.hpp"

namespace gangway::python {

class AgentBlocking final : public Blocking {
 public:
  explicit AgentBlocking(Agent& agent);
  ~AgentBlocking() override;

  [[nodiscard]] detail::Waiter& waiter() noexcept override { return wait_.waiter; }
  [[nodiscard]] Agent::Wait& wait() noexcept { return wait_; }
  void check() override;

 private:
  Agent& agent_;
  const bool main_;
  int user_fd_ = -1;
  Agent::Wait wait_;
};

}  // namespace gangway::python
