// 50 gateways: start all, use each, end all. And what they cost while they live.
//
// With GANGWAY_WARM=1 the warm server is there before the clock starts.
#include "bench/support/gangway_side.hpp"

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    constexpr int count = 50;
    gangway::Group group;
    const char* const warm = std::getenv("GANGWAY_WARM");
    if (warm != nullptr && warm[0] == '1') {
      gangway::Gateway first = group.makegateway(spec);
      first.exit();
      if (!first.join(std::chrono::seconds(10))) std::abort();
    }
    const bench::Stopwatch starting;
    std::vector<gangway::Gateway> gateways = group.makegateways(std::vector(count, spec));
    std::vector<gangway::Channel> channels;
    for (gangway::Gateway& gateway : gateways) channels.push_back(gateway.remote_exec("channel.send(1)"));
    for (gangway::Channel& channel : channels) (void)channel.receive<int>();
    double seconds = starting.seconds();

    const auto threads = static_cast<double>(bench::proc_number(::getpid(), "status", "Threads"));
    double resident = 0;
    double proportional = 0;
    for (const gangway::Gateway& gateway : gateways) {
      const auto pid = static_cast<pid_t>(gateway.info().pid);
      resident += bench::resident_mb(pid);
      const auto keeper = static_cast<pid_t>(bench::proc_number(pid, "status", "PPid"));
      proportional += static_cast<double>(bench::proc_number(pid, "smaps_rollup", "Pss"));
      if (keeper != ::getpid()) proportional += static_cast<double>(bench::proc_number(keeper, "smaps_rollup", "Pss"));
    }

    const bench::Stopwatch ending;
    (void)group.terminate(std::chrono::seconds(10));
    seconds += ending.seconds();
    bench::report(
        {{"s", seconds}, {"rss_mb", resident / count}, {"pss_mb", proportional / 1024 / count}, {"threads", threads}});
  });
}
