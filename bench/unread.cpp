// 1 GiB that nobody reads, in each direction: by how much either process grows.
#include <thread>

#include "bench/support/gangway_side.hpp"

namespace {

constexpr std::size_t mib = 1024 * 1024;
constexpr int items = 1024;

struct Memory {
  double controller;
  double agent;
};

Memory now(pid_t agent) { return {bench::resident_mb(::getpid()), bench::resident_mb(agent)}; }

// Until neither process has grown for half a second.
Memory settled(pid_t agent) {
  Memory before = now(agent);
  for (int quiet = 0; quiet < 5;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const Memory after = now(agent);
    quiet = after.controller > before.controller + 0.2 || after.agent > before.agent + 0.2 ? 0 : quiet + 1;
    before = after;
  }
  return before;
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    double grown[4];
    {
      gangway::Group group;
      gangway::Gateway gateway = group.makegateway(spec);
      const auto agent = static_cast<pid_t>(gateway.info().pid);
      gangway::Channel channel = gateway.remote_exec(
          "item = b'x' * 0x100000\nchannel.send(0)\nchannel.receive()\nfor i in range(1024): channel.send(item)");
      (void)channel.receive<int>();
      const Memory before = now(agent);
      channel.send(0);
      const Memory after = settled(agent);
      grown[0] = after.controller - before.controller;
      grown[1] = after.agent - before.agent;
    }
    {
      gangway::Group group;
      gangway::Gateway gateway = group.makegateway(spec);
      const auto agent = static_cast<pid_t>(gateway.info().pid);
      gangway::Channel channel = gateway.remote_exec("import time\nchannel.send(0)\ntime.sleep(60)");
      (void)channel.receive<int>();
      gangway::Bytes item;
      item.resize_uninitialized(mib);
      std::fill(item.begin(), item.end(), std::byte{'x'});
      const Memory before = now(agent);
      try {
        for (int i = 0; i < items; ++i) channel.send(item, std::chrono::milliseconds(300));
      } catch (const gangway::TimeoutError&) {  // the window is full
      }
      const Memory after = settled(agent);
      grown[2] = after.controller - before.controller;
      grown[3] = after.agent - before.agent;
      (void)group.terminate(std::chrono::milliseconds(10));
    }
    bench::report({{"down_controller_mb", grown[0]},
                   {"down_agent_mb", grown[1]},
                   {"up_controller_mb", grown[2]},
                   {"up_agent_mb", grown[3]}});
  });
}
