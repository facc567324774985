#include "gateways/server/death_book.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

namespace gangway::detail {

namespace {

bool same(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

void DeathBook::enter(Id id, std::string token) {
  if (!token.empty()) entries_[id].token = std::move(token);
}

void DeathBook::died(Id id, DeathRecord record, Time now) {
  forget_old(now);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  if (deaths() >= limits::deaths_kept) entries_.erase(oldest_death());
  found->second.since = now;
  found->second.record = std::move(record);
}

std::optional<DeathBook::Id> DeathBook::find(std::string_view token, Time now) {
  forget_old(now);
  for (const auto& [id, entry] : entries_)
    if (same(entry.token, token)) return id;
  return {};
}

std::optional<DeathRecord> DeathBook::take(Id id) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.since) return {};
  DeathRecord record = std::move(found->second.record);
  entries_.erase(found);
  return record;
}

std::size_t DeathBook::deaths() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(), [](const auto& each) { return each.second.since.has_value(); }));
}

void DeathBook::forget_old(Time now) {
  std::erase_if(entries_,
                [&](const auto& each) { return each.second.since && *each.second.since + limits::death_kept <= now; });
}

// There is one.
DeathBook::Entries::iterator DeathBook::oldest_death() {
  return std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
    return a.second.since.value_or(Time::max()) < b.second.since.value_or(Time::max());
  });
}

}  // namespace gangway::detail
