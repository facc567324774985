// Large bytes: 1 MiB x 512 in each direction, 64 MiB x 8 to the controller; GB/s.
#include "bench/support/bulk.hpp"
#include "bench/support/gangway_side.hpp"

int main(int argc, char** argv) {
  return bench::measure(argc, argv, [](const std::string& spec) {
    gangway::Gateway gateway = gangway::makegateway(spec);
    constexpr std::size_t mib = 1024 * 1024;
    const double down = bench::bulk_to_controller(gateway, mib, 512);
    const double up = bench::bulk_to_agent(gateway, mib, 512);
    const double large = bench::bulk_to_controller(gateway, 64 * mib, 8);
    const double large_up = bench::bulk_to_agent(gateway, 64 * mib, 8);
    bench::report(
        {{"1m_to_controller", down}, {"1m_to_agent", up}, {"64m_to_controller", large}, {"64m_to_agent", large_up}});
  });
}
