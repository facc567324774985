// Starts many gateways, one by one or as a tree: the first N by this program, and each of those
// N more through itself (via.md), so that hundreds come up in about the time of log N of them.
//
// Thread rule: one thread, which waits in run().
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <gangway/xspec.hpp>

#include "gateways/gateway_state.hpp"

namespace gangway::detail {

class FanOut {
 public:
  /// Begins a start, and fills in what the spec lacks (id, execmodel). May throw.
  using Launch = std::function<std::shared_ptr<GatewayState>(XSpec& spec)>;
  enum class OnFailure {
    stop,   // run() throws, and what has been started is asked to end
    go_on,  // the member has an error; what was to go through it goes through the next one above
  };
  struct Member {
    XSpec spec;
    std::shared_ptr<GatewayState> gateway;  // none: see error
    std::exception_ptr error;
    std::optional<std::size_t> hop = {};  // through which member it goes
    bool settled = false;
  };

  /// `fanout` 0: all by this program. A spec with `via`, or of a kind that does not go with it,
  /// is started as it stands.
  FanOut(std::vector<XSpec> specs, std::size_t fanout, Launch launch, OnFailure on_failure);

  [[nodiscard]] std::vector<Member> run();

  /// Who starts the member at this place; none: this program.
  [[nodiscard]] static std::optional<std::size_t> parent(std::size_t place, std::size_t fanout) noexcept {
    if (fanout == 0 || place < fanout) return {};
    return place / fanout - 1;
  }

 private:
  [[nodiscard]] std::optional<std::size_t> living_above(std::size_t place);
  void begin(std::size_t place);
  void settle(std::size_t place);
  void failed(Member& member);

  const std::size_t fanout_;
  const Launch launch_;
  const OnFailure on_failure_;
  std::vector<Member> all_;
  std::vector<std::size_t> direct_;  // those that this program has started, in order
};

}  // namespace gangway::detail
