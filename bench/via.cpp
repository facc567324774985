// What a hop costs: the round trip of an int, bulk in both directions, and the start of one more
// gateway, through one hop and directly. The argument says what the hop is; what is behind it is
// a portable agent in any case, as is the one that is reached directly.
#include "bench/support/bulk.hpp"
#include "bench/support/gangway_side.hpp"

namespace {

constexpr std::size_t mib = 1024 * 1024;

double round_trip(gangway::Gateway gateway, int count) {
  gangway::Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  const auto turns = [&](int times) {
    const bench::Stopwatch watch;
    for (int i = 0; i < times; ++i) {
      channel.send(i);
      (void)channel.receive<int>();
    }
    return watch.micros() / times;
  };
  (void)turns(300);
  return turns(count);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    (void)gangway::makegateway(spec + "//id=hub");
    gangway::Gateway direct = gangway::makegateway(bench::spec_of("portable"));
    (void)gangway::makegateway("popen//via=hub").remote_exec("channel.send(1)").receive();  // modules are there now
    const bench::Stopwatch watch;
    gangway::Gateway nested = gangway::makegateway("popen//via=hub");
    (void)nested.remote_exec("channel.send(1)").receive();
    const double start = watch.millis();
    const double down = bench::bulk_to_controller(nested, mib, 256);
    const double up = bench::bulk_to_agent(nested, mib, 256);
    bench::report({{"start", start},
                   {"trip", round_trip(nested, 3000)},
                   {"direct_trip", round_trip(direct, 3000)},
                   {"to_controller", down},
                   {"to_agent", up},
                   {"direct_to_controller", bench::bulk_to_controller(direct, mib, 256)},
                   {"direct_to_agent", bench::bulk_to_agent(direct, mib, 256)}});
  });
}
