// 200,000 ints in one direction, then in the other; million per second.
#include "bench/support/gangway_side.hpp"

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    constexpr int count = 200'000;
    gangway::Gateway gateway = gangway::makegateway(spec);

    gangway::Channel source = gateway.remote_exec("n = channel.receive()\nfor i in range(n): channel.send(i)");
    source.send(count);
    bench::Stopwatch to_controller;
    for (int i = 0; i < count; ++i) (void)source.receive<int>();
    const double down = count / to_controller.micros();

    gangway::Channel sink =
        gateway.remote_exec("n = channel.receive()\nfor i in range(n): channel.receive()\nchannel.send(n)");
    sink.send(count);
    const bench::Stopwatch to_agent;
    for (int i = 0; i < count; ++i) sink.send(i);
    (void)sink.receive<int>();
    bench::report({{"to_controller", down}, {"to_agent", count / to_agent.micros()}});
  });
}
