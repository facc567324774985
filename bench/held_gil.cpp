// What the controller learns while a task holds the GIL for two seconds.
#include <thread>

#include "bench/support/gangway_side.hpp"

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    using std::chrono::milliseconds;
    gangway::Gateway gateway = gangway::makegateway(spec + "//keepalive=200ms");
    std::vector<double> idle;
    for (int i = 0; i < 200; ++i) {
      const bench::Stopwatch watch;
      (void)gateway.remote_status();
      idle.push_back(watch.millis());
    }
    gangway::Channel channel = gateway.remote_exec(
        "import ctypes\nsleep = ctypes.PyDLL(None).usleep\nchannel.send(0)\nsleep(2000000)\nchannel.send(0)");
    (void)channel.receive<int>();
    const bench::Stopwatch held;
    std::this_thread::sleep_for(milliseconds(50));
    double answered = -1;  // ms, within the 2 s
    std::thread asking([&] {
      const bench::Stopwatch watch;
      (void)gateway.remote_status();
      answered = watch.millis();
    });
    double reported = -1;
    while (held.seconds() < 2.5 && reported < 0) {
      if (gateway.unresponsive()) reported = held.millis();
      std::this_thread::sleep_for(milliseconds(5));
      if (answered >= 0 && held.seconds() > 1.9) break;
    }
    asking.join();
    (void)channel.receive<int>();
    if (reported < 0)
      bench::report({{"idle_ms", bench::median(idle)}, {"status_ms", answered}});
    else
      bench::report({{"idle_ms", bench::median(idle)}, {"status_ms", answered}, {"reported_ms", reported}});
  });
}
