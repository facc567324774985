#include "gateways/ending.hpp"

#include <algorithm>

#include <gangway/limits.hpp>

namespace gangway::detail {

namespace {

// A hop is killed by force so many term_grace after the deadline, at most: what is behind it
// should have the time to be killed through it. With this terminate() keeps its two seconds.
constexpr int most_graces = 2;

}  // namespace

Ending::Ending(std::shared_ptr<Runtime> runtime, std::vector<std::shared_ptr<GatewayState>> leaving, Deadline deadline)
    : runtime_(std::move(runtime)), deadline_(deadline), waiter_(*runtime_) {
  all_.reserve(leaving.size());
  for (auto& gateway : leaving) all_.push_back({std::move(gateway), all_.size(), 0, 0, {}, false});
  for (Leaving& one : all_) {
    const auto hop = one.gateway->hop();
    const auto found =
        std::find_if(all_.begin(), all_.end(), [&](const Leaving& other) { return other.gateway == hop; });
    if (!hop || found == all_.end() || one.gateway->gone()) continue;
    one.hop = static_cast<std::size_t>(found - all_.begin());
    ++found->behind;
  }
  for (std::size_t at = 0; at < all_.size(); ++at)
    for (std::size_t from = at, height = 0; all_[from].hop != from; from = all_[from].hop)
      all_[all_[from].hop].height = std::max(all_[all_[from].hop].height, static_cast<int>(++height));
  for (Leaving& one : all_) one.gateway->add_end_waiter(waiter_);
  for (Leaving& one : all_)
    if (one.behind == 0) ask(one);
}

Ending::~Ending() {
  for (Leaving& one : all_) one.gateway->remove_end_waiter(waiter_);
}

void Ending::ask(Leaving& leaving) {
  leaving.gateway->exit();
  Deadline deadline = deadline_;
  // One that is asked only now, because of others, still gets a moment.
  if (deadline && leaving.height > 0)
    deadline = std::max(*deadline, std::min(Clock::now(), *deadline + limits::term_grace) + limits::term_grace);
  leaving.machine.emplace(deadline);
}

void Ending::finish(Leaving& leaving) {
  leaving.done = true;
  Leaving& hop = all_[leaving.hop];
  if (&hop == &leaving || --hop.behind > 0 || hop.machine) return;
  ask(hop);
}

// By force, those that others keep from being asked.
void Ending::ask_due() {
  if (!deadline_) return;
  const auto now = Clock::now();
  for (Leaving& one : all_) {
    if (one.machine || now < *deadline_ + std::min(one.height, most_graces) * limits::term_grace) continue;
    one.gateway->exit();
    one.machine.emplace(now);
  }
}

TerminateReport Ending::run() {
  for (;;) {
    waiter_.rearm();
    Deadline next;
    bool all_done = true;
    const auto at_latest = [&next](Clock::time_point time) {
      if (!next || time < *next) next = time;
    };
    ask_due();
    for (bool again = true; std::exchange(again, false);) {
      for (Leaving& one : all_) {
        if (one.done || !one.machine || !one.gateway->enforce(*one.machine)) continue;
        finish(one);
        again = true;  // its hop may have been asked before its turn
      }
    }
    for (const Leaving& one : all_) {
      if (one.done) continue;
      all_done = false;
      if (one.machine && one.machine->next()) at_latest(*one.machine->next());
      if (!one.machine && deadline_) at_latest(*deadline_ + std::min(one.height, most_graces) * limits::term_grace);
    }
    if (all_done) break;
    (void)runtime_->wait(waiter_, next);
  }
  TerminateReport report;
  for (const Leaving& one : all_) {
    if (one.machine->killed()) report.killed.push_back(one.gateway->id());
    if (!one.gateway->gone()) report.survivors.push_back(one.gateway->id() + " (" + one.gateway->place() + ")");
  }
  return report;
}

}  // namespace gangway::detail
