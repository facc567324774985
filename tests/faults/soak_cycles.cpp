// B16 at length: soak_cycles [CYCLES] [SPEC]. Starts and ends gateways, and fails when there are
// zombies, other descriptors or children than after the first cycles, or more memory. A line per
// tenth. GANGWAY_WARM=1 or 0 in the environment has them forked from a warm server, or not.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/faults/fault_test.hpp"

namespace {

using namespace gangway;

/// What is counted is compared for equality.
struct Held {
  std::size_t descriptors = 0;
  std::size_t children = 0;
  std::ptrdiff_t zombies = 0;

  static Held now() {
    const auto all = test::Holdings::now();
    return {all.descriptors.size(), all.children.size(),
            std::count_if(all.children.begin(), all.children.end(),
                          [](const auto& child) { return child.second.starts_with("Z"); })};
  }
  bool operator==(const Held&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Held& held) {
  return out << held.descriptors << " descriptors, " << held.children << " children, " << held.zombies << " zombies";
}

/// Of one that has just ended something may still be there: what is held when nothing has changed for a second.
Held settled() {
  Held held = Held::now();
  const auto changes = [&] { return test::eventually([&] { return Held::now() != held; }, std::chrono::seconds(1)); };
  for (int rounds = 0; rounds < 20 && changes(); ++rounds) held = Held::now();
  return held;
}

bool cycle(Group& group, const std::string& spec) {
  Gateway gateway = group.makegateway(spec);
  gateway.exit();
  return gateway.join(std::chrono::seconds(20));
}

}  // namespace

int main(int argc, char** argv) {
  const int cycles = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const std::string spec = argc > 2 ? argv[2] : "popen";
  const int warm_up = 10;  // a warm server, threads and their descriptors come with the second gateway
  const int part = std::max(1, cycles / 10);
  Group group;
  const Gateway stays = group.makegateway(spec);
  std::size_t memory = 0;
  Held expected;
  for (int done = 1; done <= warm_up + cycles; ++done) {
    if (!cycle(group, spec)) {
      std::cerr << "cycle " << done << ": the agent does not end\n";
      return 1;
    }
    if (done == warm_up) {
      expected = settled();
      std::cout << "after " << warm_up << " cycles: " << expected << std::endl;
      if (expected.zombies != 0) return 1;
    }
    if (done <= warm_up || (done - warm_up) % part != 0) continue;
    Held held;
    const bool same = test::eventually([&] { return (held = Held::now()) == expected; }, std::chrono::seconds(10));
    const std::size_t resident = test::resident();
    std::cout << done - warm_up << " cycles: " << resident / 1024 << " KiB, " << held << std::endl;
    if (memory == 0) memory = resident;  // of the first tenth: the allocator's own growth is behind it
    if (!same || resident > memory + (1u << 20)) {
      std::cerr << "not as after the first cycles: " << expected << ", " << memory / 1024 << " KiB\n";
      return 1;
    }
  }
}
