// B16 at length: soak_cycles [CYCLES] [SPEC]. Starts and ends gateways, and fails when
// descriptors, zombies or memory grow. A line per tenth. GANGWAY_WARM=1 or 0 in the
// environment has them forked from a warm server, or not.
#include <cstdlib>
#include <iostream>
#include <string>

#include "tests/faults/fault_test.hpp"

int main(int argc, char** argv) {
  using namespace gangway;
  const int cycles = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const std::string spec = argc > 2 ? argv[2] : "popen";
  Group group;
  const Gateway warm = group.makegateway(spec);
  std::size_t memory = 0;
  std::size_t descriptors = 0;
  for (int cycle = 1; cycle <= cycles; ++cycle) {
    Gateway gateway = group.makegateway(spec);
    gateway.exit();
    if (!gateway.join(std::chrono::seconds(20))) {
      std::cerr << "cycle " << cycle << ": the agent does not end\n";
      return 1;
    }
    gateway = {};
    if (cycle % std::max(1, cycles / 10) != 0) continue;
    const auto held = test::Holdings::now();
    std::cout << cycle << " cycles: " << test::resident() / 1024 << " KiB, " << held.descriptors.size()
              << " descriptors, " << held.children.size() << " children" << std::endl;
    if (memory == 0) {
      memory = test::resident();
      descriptors = held.descriptors.size();
    } else if (test::resident() > memory + (1u << 20) || held.descriptors.size() > descriptors + 4 ||
               held.children.size() > 3) {
      std::cerr << "it grows\n";
      return 1;
    }
  }
}
