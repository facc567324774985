// A remote_exec and its first result, on one CPU and on two.
#include "bench/support/gangway_side.hpp"

namespace {

double round_trip(gangway::Gateway& gateway, int count) {
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) (void)gateway.remote_exec("channel.send(1)").receive<int>();
  return watch.micros() / count;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Gateway gateway = gangway::makegateway(spec);
    const auto agent = static_cast<pid_t>(gateway.info().pid);
    bench::pin(::getpid(), 0);
    bench::pin(agent, 0);
    (void)round_trip(gateway, 200);
    bench::pin(::getpid(), 0);
    bench::pin(agent, 0);
    const double one = round_trip(gateway, 3000);
    bench::pin(agent, 1);
    (void)round_trip(gateway, 200);
    bench::report({{"one", one}, {"two", round_trip(gateway, 2000)}});
  });
}
