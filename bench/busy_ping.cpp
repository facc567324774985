// Pings of the connection while it carries an item of 256 MiB.
#include <atomic>
#include <thread>

#include "bench/support/gangway_side.hpp"

namespace {

double ping(gangway::Gateway& gateway) {
  const bench::Stopwatch watch;
  (void)gateway.ping();
  return watch.micros();
}

template <class Transfer>
std::vector<double> pings_during(gangway::Gateway& gateway, Transfer transfer) {
  std::atomic<bool> done = false;
  std::thread carrier([&] {
    transfer();
    done = true;
  });
  std::vector<double> times;
  while (!done) times.push_back(ping(gateway));
  carrier.join();
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    constexpr std::size_t size = 256 * 1024 * 1024;
    gangway::Gateway gateway = gangway::makegateway(spec);
    for (int i = 0; i < 200; ++i) (void)ping(gateway);
    std::vector<double> idle;
    for (int i = 0; i < 2'000; ++i) idle.push_back(ping(gateway));

    gangway::Channel channel =
        gateway.remote_exec("channel.send(len(channel.receive()))\nchannel.send(bytes(channel.receive()))");
    gangway::Bytes item;
    item.resize_uninitialized(size);
    std::fill(item.begin(), item.end(), std::byte{'x'});
    const auto up = pings_during(gateway, [&] {
      channel.send(item);
      (void)channel.receive<std::int64_t>();
    });
    const auto down = pings_during(gateway, [&] {
      channel.send(static_cast<std::int64_t>(size));
      (void)channel.receive();
    });
    bench::report({{"idle_us", bench::median(idle)},
                   {"up_us", bench::median(up)},
                   {"up_max_ms", *std::max_element(up.begin(), up.end()) / 1e3},
                   {"down_us", bench::median(down)},
                   {"down_max_ms", *std::max_element(down.begin(), down.end()) / 1e3}});
  });
}
