#include <gangway/gangway.hpp>

#include <vector>

int main() {
  auto gw = gangway::makegateway("popen");
  auto channel = gw.remote_exec("channel.send(sum(channel.receive()))");
  channel.send(std::vector<int>{1, 2, 3});
  return channel.receive<int>() == 6 ? 0 : 1;
}
