// Lists of small dicts, 10 KB and 1 MB each, in either direction; items per second.
#include "bench/support/gangway_side.hpp"

namespace {

// The same as records() in peers/common.py.
gangway::Value records(int count) {
  gangway::List list;
  for (int i = 0; i < count; ++i)
    list.push_back(gangway::Dict{{"id", i},
                                 {"name", "item " + std::to_string(i)},
                                 {"score", i / 7.0},
                                 {"tags", gangway::List{"a", "b"}},
                                 {"ok", true}});
  return list;
}

double to_controller(gangway::Gateway& gateway, const gangway::Value& item, int count) {
  gangway::Channel channel =
      gateway.remote_exec("item, n = channel.receive(), channel.receive()\nfor i in range(n): channel.send(item)");
  channel.send(item);
  channel.send(count);
  (void)channel.receive();
  const bench::Stopwatch watch;
  for (int i = 1; i < count; ++i) (void)channel.receive();
  return (count - 1) / watch.seconds();
}

double to_agent(gangway::Gateway& gateway, const gangway::Value& item, int count) {
  gangway::Channel channel =
      gateway.remote_exec("n = channel.receive()\nfor i in range(n): channel.receive()\nchannel.send(n)");
  channel.send(count);
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) channel.send(item);
  (void)channel.receive<int>();
  return count / watch.seconds();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Gateway gateway = gangway::makegateway(spec);
    const gangway::Value small = records(225);
    const gangway::Value large = records(21'000);
    const double small_down = to_controller(gateway, small, 2'000);
    const double small_up = to_agent(gateway, small, 2'000);
    const double large_down = to_controller(gateway, large, 20);
    const double large_up = to_agent(gateway, large, 20);
    bench::report({{"10k_to_controller", small_down},
                   {"10k_to_agent", small_up},
                   {"1m_to_controller", large_down},
                   {"1m_to_agent", large_up}});
  });
}
