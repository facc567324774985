#include "gateways/server/admission.hpp"

#include <algorithm>

namespace gangway::detail {

namespace {

// Sources whose failures are remembered. An attacker with more of them has as many tries anyway.
constexpr std::size_t most_sources = 4'096;

}  // namespace

Admission::Time Admission::room_at(Time now) const noexcept {
  if (strangers_.size() < limits::greeting_slots) return now;
  return strangers_.front().since + greeting_least;
}

std::optional<Admission::Id> Admission::enter(Id id, Time now) {
  std::optional<Id> leaves;
  if (strangers_.size() >= limits::greeting_slots) {
    leaves = strangers_.front().id;
    strangers_.pop_front();
  }
  strangers_.push_back({id, now});
  return leaves;
}

void Admission::leave(Id id) {
  std::erase_if(strangers_, [&](const Stranger& stranger) { return stranger.id == id; });
}

Admission::Time Admission::may_try(const std::string& source, Time now) {
  const auto found = penalty_.find(source);
  if (found == penalty_.end()) return now;
  if (found->second <= now) {
    penalty_.erase(found);
    return now;
  }
  const Time turn = found->second;
  // Whoever's turn comes after his time never tries: he costs nothing.
  if (turn < now + limits::greeting_time) found->second += limits::between_failures;
  return turn;
}

void Admission::failed(const std::string& source, Time now) {
  if (penalty_.size() >= most_sources) std::erase_if(penalty_, [&](const auto& entry) { return entry.second <= now; });
  if (penalty_.size() >= most_sources && !penalty_.contains(source)) penalty_.erase(penalty_.begin());
  Time& next = penalty_[source];
  next = std::max(next, now + limits::between_failures);
}

}  // namespace gangway::detail
