// Large bytes: 1 MiB x 512 in each direction, 64 MiB x 8 to the controller; GB/s.
#include "bench/support/gangway_side.hpp"

namespace {

double to_controller(gangway::Gateway& gateway, std::size_t size, int count) {
  gangway::Channel channel = gateway.remote_exec(
      "size, n = channel.receive()\nitem = b'x' * size\nchannel.send(0)\n"
      "channel.receive()\nfor i in range(n): channel.send(item)");
  channel.send(gangway::Tuple{static_cast<std::int64_t>(size), count});
  (void)channel.receive<int>();
  channel.send(0);
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i)
    if (channel.receive().as_bytes().size() != size) throw std::runtime_error("an item of another size");
  return static_cast<double>(size) * count / watch.seconds() / 1e9;
}

double to_agent(gangway::Gateway& gateway, std::size_t size, int count) {
  gangway::Channel channel = gateway.remote_exec(
      "n = channel.receive()\nfor i in range(n): item = channel.receive()\nchannel.send(len(item))");
  channel.send(count);
  gangway::Bytes item;
  item.resize_uninitialized(size);
  std::fill(item.begin(), item.end(), std::byte{'x'});
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) channel.send(item);
  (void)channel.receive<std::int64_t>();
  return static_cast<double>(size) * count / watch.seconds() / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Gateway gateway = gangway::makegateway(spec);
    constexpr std::size_t mib = 1024 * 1024;
    const double down = to_controller(gateway, mib, 512);
    const double up = to_agent(gateway, mib, 512);
    const double large = to_controller(gateway, 64 * mib, 8);
    const double large_up = to_agent(gateway, 64 * mib, 8);
    bench::report(
        {{"1m_to_controller", down}, {"1m_to_agent", up}, {"64m_to_controller", large}, {"64m_to_agent", large_up}});
  });
}
