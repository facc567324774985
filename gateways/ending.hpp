// The end of several gateways: all of them are asked, a hop only when nobody goes through it any
// more, and whoever is not gone in time is killed (termination.hpp).
//
// When the deadline has passed while others still go through it, a hop is killed with them: one
// that is stopped could pass on no signal to what is behind it, but takes that with it.
//
// Thread rule: one thread, which waits in run().
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <gangway/group.hpp>

#include "core/runtime.hpp"
#include "gateways/gateway_state.hpp"
#include "gateways/termination.hpp"

namespace gangway::detail {

class Ending {
 public:
  /// Asks those through which nobody goes.
  Ending(std::shared_ptr<Runtime> runtime, std::vector<std::shared_ptr<GatewayState>> leaving, Deadline deadline);
  ~Ending();
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

  /// Until all are gone, or cannot be killed.
  [[nodiscard]] TerminateReport run();

 private:
  struct Leaving {
    std::shared_ptr<GatewayState> gateway;
    std::size_t hop;                     // its place in the list; none: own place
    std::size_t behind = 0;              // how many go through it
    int height = 0;                      // of what is behind it
    std::optional<Termination> machine;  // once it was asked
    bool done = false;
  };

  void ask(Leaving& leaving);
  void ask_due();
  void finish(Leaving& leaving);

  const std::shared_ptr<Runtime> runtime_;
  const Deadline deadline_;
  std::vector<Leaving> all_;
  Waiter waiter_;
};

}  // namespace gangway::detail
