// The pauses between attempts at a server that turns logins away (sshd: MaxStartups). They grow,
// and half of each is by chance: who was turned away together shall not come back together.
//
// A value, used by one thread at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace gangway::detail {

class Backoff {
 public:
  [[nodiscard]] std::chrono::milliseconds next() {
    const auto most = longest_;
    longest_ = std::min(2 * longest_, std::chrono::milliseconds(3'000));
    return most / 2 + std::chrono::milliseconds(random_() % static_cast<unsigned>(most.count() / 2));
  }

 private:
  std::chrono::milliseconds longest_{100};
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace gangway::detail
