// A round trip of one int through user code on the far side, on one CPU and on two.
#include "bench/support/gangway_side.hpp"

namespace {

double round_trip(gangway::Channel& channel, int count) {
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    channel.send(i);
    (void)channel.receive<int>();
  }
  return watch.micros() / count;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Gateway gateway = gangway::makegateway(spec);
    gangway::Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
    (void)round_trip(channel, 100);  // all threads exist now
    const auto agent = static_cast<pid_t>(gateway.info().pid);
    bench::pin(::getpid(), 0);
    bench::pin(agent, 0);
    (void)round_trip(channel, 500);
    const double one = round_trip(channel, 10'000);
    bench::pin(agent, 1);
    (void)round_trip(channel, 500);
    bench::report({{"one", one}, {"two", round_trip(channel, 5'000)}});
  });
}
