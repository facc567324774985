// 200 gateways, each behind a line with 250 ms of delay in either direction, which no one has to
// log in to: started by this program alone, and as trees.
//
//   bench_fan_out N            with a fanout of N; 0: none
//   bench_fan_out late MS ...  runs what follows behind such a line
#include <cstring>
#include <filesystem>

#include "bench/support/gangway_side.hpp"
#include "bench/support/slow_line.hpp"

namespace {

constexpr int hosts = 200;
constexpr int delay_ms = 250;

}  // namespace

int main(int argc, char** argv) {
  if (argc > 3 && std::strcmp(argv[1], "late") == 0)
    return bench::run_behind_slow_line(std::chrono::milliseconds(std::atoi(argv[2])), argv + 3);
  return bench::measure(argc, argv, [](const std::string& fanout) {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    const std::string spec =
        "command=" + self + " late " + std::to_string(delay_ms) + "//python=/usr/bin/python3//connect_timeout=120";
    gangway::Group group;
    const bench::Stopwatch watch;
    const auto all = group.makegateways(std::vector<std::string>(hosts, spec), std::stoul(fanout));
    const double ready = watch.seconds();
    (void)group.remote_exec("channel.send(1)").receive_each();
    const double used = watch.seconds();
    const bench::Stopwatch end;
    (void)group.terminate(std::chrono::seconds(60));
    bench::report({{"s", ready}, {"used", used}, {"end", end.seconds()}});
  });
}
