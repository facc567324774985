// Over ssh: a new connection, the next gateway on it, and large bytes each way.
#include "bench/support/gangway_side.hpp"

namespace {

// Created, and its first result is there.
double first_result(gangway::Group& group, const std::string& spec) {
  const bench::Stopwatch watch;
  (void)group.makegateway(spec).remote_exec("channel.send(1)").receive<int>();
  return watch.millis();
}

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
    std::vector<double> logins;
    for (int i = 0; i < 5; ++i) {
      gangway::Group group;
      logins.push_back(first_result(group, spec));
    }
    gangway::Group group;
    (void)first_result(group, spec);
    std::vector<double> next;
    for (int i = 0; i < 10; ++i) next.push_back(first_result(group, spec));
    gangway::Gateway gateway = group.makegateway(spec);
    constexpr std::size_t mib = 1024 * 1024;
    const double down = to_controller(gateway, mib, 200);
    const double up = to_agent(gateway, mib, 200);
    bench::report({{"login_ms", bench::median(logins)},
                   {"next_ms", bench::median(next)},
                   {"to_controller", down},
                   {"to_agent", up}});
  });
}
