// Behind ReceiveQueue: which channel has something, in the order of arrival. The items stay
// in their channels until they are taken.
//
// Thread rule: any thread. Its mutex is taken after a connection's, never before.
// Lifetime: it holds the channels; what the channels refer to does not hold them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <gangway/channel.hpp>

#include "channels/channel_callback.hpp"
#include "core/runtime.hpp"

namespace gangway::detail {

class ArrivalQueue {
 public:
  /// Registers with all of them. Throws Error (has_callback).
  ArrivalQueue(std::vector<Channel> channels, std::optional<Value> endmarker);

  [[nodiscard]] std::pair<Channel, Value> get(Deadline deadline);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Arrival {
    std::size_t member;
    bool is_end;
  };
  struct Arrivals;  // what members tell
  class Member;     // one of them

  [[nodiscard]] Arrival next(Deadline deadline);

  const std::vector<Channel> channels_;
  const std::optional<Value> endmarker_;
  const std::shared_ptr<Arrivals> arrivals_;
};

}  // namespace gangway::detail
