// One local gateway: create it, get a first result, end it and see its process gone.
#include "bench/support/gangway_side.hpp"

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    std::vector<double> times;
    for (int i = 0; i < 10; ++i) {
      const bench::Stopwatch watch;
      gangway::Group group;
      (void)group.makegateway(spec).remote_exec("channel.send(1)").receive<int>();
      (void)group.terminate(std::chrono::seconds(10));
      times.push_back(watch.millis());
    }
    bench::report({{"ms", bench::median(times)}});
  });
}
