#include "tests/nemesis/watch.hpp"

#include <algorithm>
#include <utility>

#include "tests/nemesis/world.hpp"

namespace gangway::nemesis {

Watch::Call::Call(Watch& watch, Entry entry) : watch_(&watch) {
  const std::lock_guard lock(watch.mutex_);
  entry_ = watch.entries_.insert(watch.entries_.end(), std::move(entry));
}

Watch::Call::Call(Call&& other) noexcept : watch_(std::exchange(other.watch_, nullptr)), entry_(other.entry_) {}

Watch::Call::~Call() {
  if (watch_ == nullptr) return;
  std::list<Entry> ended;  // what it holds is let go without the lock
  const std::lock_guard lock(watch_->mutex_);
  if (entry_->host)
    if (const auto dead = entry_->host->dead_since())
      watch_->longest_after_death_ =
          std::max(watch_->longest_after_death_, Clock::now() - std::max(*dead, entry_->begin));
  ended.splice(ended.end(), watch_->entries_, entry_);
}

void Watch::check(const std::function<void(const std::string&, const Entry&)>& late) const {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    const auto dead = entry.host ? entry.host->dead_since() : std::nullopt;
    if (entry.latest ? now < *entry.latest : !dead || now < std::max(*dead, entry.begin) + end_after_death) continue;
    const auto seconds = [](Clock::duration time) {
      return std::to_string(std::chrono::duration<double>(time).count());
    };
    late(entry.what + ", for " + seconds(now - entry.begin) + " s" +
             (dead ? ", its gateway is dead for " + seconds(now - *dead) + " s" : ""),
         entry);
  }
}

std::size_t Watch::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

Clock::duration Watch::longest_after_death() const {
  const std::lock_guard lock(mutex_);
  return longest_after_death_;
}

}  // namespace gangway::nemesis
