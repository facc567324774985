#include "gateways/fan_out.hpp"

#include <utility>

#include <gangway/limits.hpp>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

bool may_go_through_another(const XSpec& spec) {
  return !spec.has("via") && spec.kind() != TransportKind::socket && spec.kind() != TransportKind::unix_socket;
}

}  // namespace

FanOut::FanOut(std::vector<XSpec> specs, std::size_t fanout, Launch launch, OnFailure on_failure)
    : fanout_(fanout), launch_(std::move(launch)), on_failure_(on_failure) {
  all_.reserve(specs.size());
  for (XSpec& spec : specs) all_.push_back({std::move(spec), nullptr, nullptr});
}

std::vector<FanOut::Member> FanOut::run() {
  try {
    for (std::size_t place = 0; place < all_.size(); ++place) begin(place);
    for (std::size_t place = 0; place < all_.size(); ++place) settle(place);
  } catch (...) {
    for (Member& member : all_)
      if (member.gateway) member.gateway->exit();
    throw;
  }
  return std::move(all_);
}

// Waits for the members on the way up, until one is there.
std::optional<std::size_t> FanOut::living_above(std::size_t place) {
  if (!may_go_through_another(all_[place].spec)) return {};
  auto above = parent(place, fanout_);
  for (; above; above = parent(*above, fanout_)) {
    settle(*above);
    if (all_[*above].gateway && !all_[*above].gateway->connection().finished()) break;
  }
  return above;
}

void FanOut::begin(std::size_t place) {
  Member& member = all_[place];
  try {
    member.hop = living_above(place);
    XSpec spec = member.spec;
    if (member.hop) {
      spec.set("via", all_[*member.hop].gateway->id());
    } else if (!spec.has("via")) {
      // Not more at a time than are good for them: wait for the one that has had most time.
      if (direct_.size() >= limits::parallel_starts) settle(direct_[direct_.size() - limits::parallel_starts]);
      direct_.push_back(place);
    }
    member.gateway = launch_(spec);
    member.spec.set("id", member.gateway->id());
  } catch (...) {
    failed(member);
  }
}

void FanOut::settle(std::size_t place) {
  Member& member = all_[place];
  while (!std::exchange(member.settled, true)) {
    if (!member.gateway) return;
    try {
      member.gateway->wait_ready();
    } catch (...) {
      const bool lost_hop = member.hop && all_[*member.hop].gateway->connection().finished();
      member.gateway->exit();  // its id is free again
      member.gateway.reset();
      if (lost_hop && on_failure_ == OnFailure::go_on) {
        trace::log("gateway ", member.spec.id().value(), ": once more, without its hop");
        member.settled = false;
        begin(place);
      } else {
        failed(member);
      }
    }
  }
}

// In a handler.
void FanOut::failed(Member& member) {
  if (on_failure_ == OnFailure::stop) throw;
  member.settled = true;
  member.error = std::current_exception();
}

}  // namespace gangway::detail
