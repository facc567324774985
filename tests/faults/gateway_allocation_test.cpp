// No memory at the end of a gateway: everybody is told nevertheless, and nothing stays behind.
#include <gtest/gtest.h>

#include <csignal>
#include <new>

#include <gangway/gangway.hpp>

#include "tests/support/fail_count.hpp"

namespace gangway::testing {
namespace {

using namespace std::chrono_literals;

// The thread that receives does the I/O: every allocation of it fails once while an agent dies.
TEST(AllocationFailure, does_not_keep_the_death_of_an_agent_from_anybody) {
  Group group;
  int unharmed = 0;
  for (std::size_t n = 0; n < 200 && unharmed < 3; ++n) {
    Gateway gateway = group.makegateway("popen");
    Channel channel = gateway.remote_exec(
        "import os; channel.send(1); channel.receive(); print(file=__import__('sys').stderr); os._exit(3)");
    ASSERT_EQ(channel.receive<int>(20s), 1);
    channel.send(nullptr);
    bool told = false;
    {
      const FailCount fail(n);
      try {
        (void)channel.receive(20s);
      } catch (const Error&) {
        told = true;
      } catch (const std::bad_alloc&) {  // the call itself
        told = true;
      }
      unharmed += fail.failed() ? 0 : 1;
    }
    EXPECT_TRUE(told) << n;
    const TerminateReport report = group.terminate(5s);
    EXPECT_TRUE(report.survivors.empty()) << "after a failure of allocation " << n;
  }
  EXPECT_EQ(unharmed, 3) << "the loop ended too early";
}

}  // namespace
}  // namespace gangway::testing
