// A gateway of a group that has others: create it, get a first result, end it and see its
// process gone.
#include "bench/support/gangway_side.hpp"

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Group group;
    std::vector<double> times;
    for (int i = 0; i < 40; ++i) {
      const bench::Stopwatch watch;
      gangway::Gateway gateway = group.makegateway(spec);
      (void)gateway.remote_exec("channel.send(1)").receive<int>();
      gateway.exit();
      if (!gateway.join(std::chrono::seconds(10))) std::abort();
      if (i >= 10) times.push_back(watch.millis());  // until then the warm server was started
    }
    bench::report({{"ms", bench::median(times)}});
  });
}
