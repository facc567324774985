// A controller that a test ends in some way: fault_controller MODE SPEC COUNT
//
// Starts COUNT gateways, gives each something to do, writes "ready PID..." and then:
//   hold       waits to be killed
//   gil        the same, with a C call in every worker that holds the GIL
//   load       the same, while the workers send and have children
//   return, exit, quick_exit, abort, throw: ends like that, with living gateways in a group
//   default    returns from main with a gateway in the default group
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>

#include <gangway/gangway.hpp>

namespace {

constexpr auto busy = "import os\nchannel.send(os.getpid())\nfor item in channel: channel.send(item)";
constexpr auto gil = "import ctypes, os\nchannel.send(os.getpid())\nctypes.PyDLL(None).sleep(100)";
constexpr auto load =
    "import os, subprocess\nsubprocess.Popen(['sleep', '1000'])\nchannel.send(os.getpid())\n"
    "while True: channel.send(b'x' * 100000)";

}  // namespace

int main(int, char** argv) {
  const std::string mode = argv[1];
  const std::string spec = argv[2];
  const std::vector<std::string> specs(static_cast<std::size_t>(std::atoi(argv[3])), spec);

  gangway::Group own;
  gangway::Group& group = mode == "default" ? gangway::default_group() : own;
  std::vector<gangway::Channel> channels;
  std::cout << "ready";
  for (gangway::Gateway& gateway : group.makegateways(specs)) {
    channels.push_back(gateway.remote_exec(mode == "gil" ? gil : mode == "load" ? load : busy));
    std::cout << ' ' << channels.back().receive<std::int64_t>();
  }
  std::cout << std::endl;

  if (mode == "hold" || mode == "gil")
    for (;;) ::pause();
  if (mode == "load")
    for (std::size_t at = 0;; ++at) {
      try {
        (void)channels[at % channels.size()].receive(std::chrono::milliseconds(1));
      } catch (const gangway::TimeoutError&) {  // one of them may be stopped
      }
    }
  if (mode == "exit") std::exit(7);  // destructors of `own` do not run
  if (mode == "quick_exit") std::quick_exit(8);
  if (mode == "abort") std::abort();
  if (mode == "throw") throw std::runtime_error("nobody catches this");
  return 5;
}
