#include <version>

#if __has_include(<gangway/gangway.hpp>)
#include <gangway/gangway.hpp>

#include <vector>

int main() {
  auto gw = gangway::makegateway("popen");
  auto channel = gw.remote_exec("channel.send(sum(channel.receive()))");
  channel.send(std::vector<int>{1, 2, 3});
  return channel.receive<int>() == 6 ? 0 : 1;
}
#else  // until the API stands
#include <gangway/error.hpp>

int main() { return gangway::make_error_code(gangway::errc::timed_out).message().empty() ? 1 : 0; }
#endif
