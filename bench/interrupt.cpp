// From Channel::interrupt until its caller knows that the task has ended.
#include <stdexcept>
#include <thread>

#include "bench/support/gangway_side.hpp"

namespace {

double interrupt(gangway::Gateway& gateway, const char* source) {
  gangway::Channel channel = gateway.remote_exec(source);
  (void)channel.receive<int>();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // well inside what is interrupted
  const bench::Stopwatch watch;
  if (!channel.interrupt(std::chrono::seconds(10))) throw std::runtime_error("not interrupted within 10 s");
  return watch.millis();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Gateway gateway = gangway::makegateway(spec);
    std::vector<double> loop;
    std::vector<double> sleep;
    std::vector<double> receive;
    for (int i = 0; i < 10; ++i) {
      loop.push_back(interrupt(gateway, "channel.send(0)\nwhile True: pass"));
      sleep.push_back(interrupt(gateway, "import time\nchannel.send(0)\ntime.sleep(1000)"));
      receive.push_back(interrupt(gateway, "channel.send(0)\nchannel.receive()"));
    }
    bench::report(
        {{"loop_ms", bench::median(loop)}, {"sleep_ms", bench::median(sleep)}, {"receive_ms", bench::median(receive)}});
  });
}
