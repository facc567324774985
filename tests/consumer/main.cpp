// consumer AGENT: whether that is the agent that runs.
#include <gangway/gangway.hpp>

#include <iostream>
#include <vector>

int main(int, char** argv) {
  auto gw = gangway::makegateway("popen");
  auto channel = gw.remote_exec(
      "import os\nchannel.send(os.readlink('/proc/self/exe'))\n"
      "channel.send(sum(channel.receive()))");
  const auto agent = channel.receive<std::string>();
  if (agent != argv[1]) std::cerr << "the agent is " << agent << ", not " << argv[1] << '\n';
  channel.send(std::vector<int>{1, 2, 3});
  return channel.receive<int>() == 6 && agent == argv[1] ? 0 : 1;
}
