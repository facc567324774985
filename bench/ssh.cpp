// Over ssh: a new connection, the next gateway on it, and large bytes each way.
#include "bench/support/bulk.hpp"
#include "bench/support/gangway_side.hpp"

namespace {

// Created, and its first result is there.
double first_result(gangway::Group& group, const std::string& spec) {
  const bench::Stopwatch watch;
  (void)group.makegateway(spec).remote_exec("channel.send(1)").receive<int>();
  return watch.millis();
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
    const double down = bench::bulk_to_controller(gateway, mib, 200);
    const double up = bench::bulk_to_agent(gateway, mib, 200);
    bench::report({{"login_ms", bench::median(logins)},
                   {"next_ms", bench::median(next)},
                   {"to_controller", down},
                   {"to_agent", up}});
  });
}
