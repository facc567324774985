// A controller that a test ends in some way: fault_controller MODE SPEC COUNT FANOUT
//
// Starts COUNT gateways (FANOUT 1: as a chain, each through the one before it), or those of several SPECs, a line each,
// one after the other; gives each something to do, writes "ready PID..." and then:
//   hold       waits to be killed
//   gil        the same, with a C call in every worker that holds the GIL
//   load       the same, while the workers send and have children
//   loop, stop, ignore, flood, children: the same, with workers that compute, are stopped, ignore
//              signals, send what nobody receives, have subprocesses
//   return, exit, quick_exit, abort, throw: ends like that, with living gateways in a group
//   default    returns from main with a gateway in the default group
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <gangway/gangway.hpp>

namespace {

/// What the workers do after they have sent their pid.
std::string work_of(const std::string& mode) {
  if (mode == "gil") return "import ctypes\nctypes.PyDLL(None).sleep(100)";
  if (mode == "loop") return "while True: pass";
  if (mode == "stop") return "os.kill(os.getpid(), 19)";
  if (mode == "ignore") return "import signal\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\nwhile True: pass";
  if (mode == "load")
    return "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nwhile True: channel.send(b'x' * 100000)";
  if (mode == "flood") return "while True: channel.send(b'x' * 100000)";
  if (mode == "children")
    return "import subprocess\nfor i in range(3): subprocess.Popen(['sleep', '1000'])\nchannel.receive()";
  return "for item in channel: channel.send(item)";
}

}  // namespace

int main(int, char** argv) {
  const std::string mode = argv[1];
  const std::string spec = argv[2];
  const bool single = spec.find('\n') == spec.npos;

  gangway::Group own;
  gangway::Group& group = mode == "default" ? gangway::default_group() : own;
  std::vector<gangway::Channel> channels;
  std::vector<gangway::Gateway> gateways;
  if (single) {
    const std::vector<std::string> specs(static_cast<std::size_t>(std::atoi(argv[3])), spec);
    gateways = group.makegateways(specs, static_cast<std::size_t>(std::atoi(argv[4])));
  } else {
    std::istringstream lines(spec);
    for (std::string line; std::getline(lines, line);) gateways.push_back(group.makegateway(line));
  }
  std::cout << "ready";
  for (gangway::Gateway& gateway : gateways) {
    channels.push_back(gateway.remote_exec("import os\nchannel.send(os.getpid())\n" + work_of(mode)));
    std::cout << ' ' << channels.back().receive<std::int64_t>();
  }
  std::cout << std::endl;

  if (mode == "load")
    for (std::size_t at = 0;; ++at) {
      try {
        (void)channels[at % channels.size()].receive(std::chrono::milliseconds(1));
      } catch (const gangway::TimeoutError&) {  // one of them may be stopped
      }
    }
  const bool ends = mode == "return" || mode == "default" || mode == "exit" || mode == "quick_exit" ||
                    mode == "abort" || mode == "throw";
  if (!ends)
    for (;;) ::pause();
  if (mode == "exit") std::exit(7);  // destructors of `own` do not run
  if (mode == "quick_exit") std::quick_exit(8);
  if (mode == "abort") std::abort();
  if (mode == "throw") throw std::runtime_error("nobody catches this");
  return 5;
}
