// Many gateways at once, as a tree.
#include <gmock/gmock.h>

#include <signal.h>

#include <algorithm>
#include <map>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FanOut : public AgentTest {
 protected:
  [[nodiscard]] static std::vector<std::string> specs(std::size_t count) {
    std::vector<std::string> all;
    for (std::size_t at = 0; at < count; ++at) all.push_back(spec("id=n" + std::to_string(at)));
    return all;
  }
  [[nodiscard]] static std::vector<XSpec> parsed(const std::vector<std::string>& texts) {
    return {texts.begin(), texts.end()};
  }
  [[nodiscard]] static std::string what(const std::exception_ptr& error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& problem) {
      return problem.what();
    }
    return {};
  }
};
INSTANTIATE_TEST_SUITE_P(, FanOut, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(FanOut, starts_a_tree_and_ends_it) {
  const auto all = group().makegateways(specs(14), 3);
  ASSERT_EQ(all.size(), 14U);
  const std::vector<std::string> hops{"", "", "", "n0", "n0", "n0", "n1", "n1", "n1", "n2", "n2", "n2", "n3", "n3"};
  for (std::size_t at = 0; at < all.size(); ++at) {
    EXPECT_EQ(all[at].spec().via().value_or(""), hops[at]) << at;
    EXPECT_EQ(ask<std::string>(all[at], "channel.send(channel.gateway.id)"), "n" + std::to_string(at) + "-worker");
  }
  EXPECT_THAT(group().terminate(20s).killed, IsEmpty());
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

TEST_P(FanOut, without_an_id_or_more_than_there_are) {
  EXPECT_EQ(group().makegateways({spec(), spec(), spec()}, 1).back().spec().via(), "gw1");
  EXPECT_EQ(group().makegateways({spec()}, 9).front().spec().via(), std::nullopt);
  EXPECT_THAT(group().makegateways(std::vector<std::string>{}, 2), IsEmpty());
}

TEST_P(FanOut, a_spec_with_via_stays_as_it_is) {
  auto texts = specs(3);
  texts.push_back("popen//via=n2//id=mine");
  EXPECT_EQ(group().makegateways(texts, 1).back().spec().via(), "n2");
}

TEST_P(FanOut, a_failure_names_its_gateway_and_ends_the_others) {
  auto texts = specs(6);
  texts[1] = "popen//id=broken//python=/nowhere/python3";
  try {
    (void)group().makegateways(texts, 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/python3"));
  }
  EXPECT_TRUE(group().empty());
  (void)group().terminate(10s);
  EXPECT_TRUE(find_survivors(cookie()).empty());
}

TEST_P(FanOut, what_was_behind_a_failure_is_started_from_above) {
  auto texts = specs(15);
  texts[0] = "popen//id=broken//python=/nowhere/python3";                 // at once
  texts[4] = "popen//id=ended//python=/bin/sh -c 'echo no >&2; exit 4'";  // at the first look
  const std::vector<Started> all = group().start_each(parsed(texts), 2);
  std::map<std::string, std::string> hops;
  for (std::size_t at = 0; at < all.size(); ++at) {
    if (at == 0 || at == 4) continue;
    ASSERT_TRUE(all[at].gateway) << at << ": " << what(all[at].error);
    EXPECT_EQ(ask<int>(all[at].gateway, "channel.send(1)"), 1);
    hops[all[at].id] = all[at].gateway.spec().via().value_or("");
  }
  EXPECT_FALSE(all[0].gateway);
  EXPECT_THAT(what(all[0].error), HasSubstr("/nowhere/python3"));
  EXPECT_THAT(what(all[4].error), HasSubstr("gateway ended: "));
  EXPECT_EQ(all[4].id, "ended");
  EXPECT_EQ(hops["n2"], "") << "was to go through the broken one";
  EXPECT_EQ(hops["n10"], "n1") << "was to go through the one that ended, which went through n1";
  EXPECT_EQ(hops["n9"], "n3");
  EXPECT_EQ(group().size(), 13U);
}

TEST_P(FanOut, what_was_behind_one_that_dies_meanwhile_is_started_once_more) {
  const TemporaryDirectory directory;
  // The first start of the last one takes its hop down.
  const std::string program = directory.write("python3",
                                              "#!/bin/sh\n"
                                              "if mkdir " +
                                                  directory / "taken" +
                                                  " 2>/dev/null; then kill -9 $PPID; sleep 100; fi\n"
                                                  "exec /usr/bin/python3 \"$@\"\n",
                                              true);
  auto texts = specs(2);
  texts.push_back("popen//id=last//python=" + program);
  const std::vector<Started> all = group().start_each(parsed(texts), 1);
  ASSERT_TRUE(all[2].gateway) << what(all[2].error);
  EXPECT_EQ(all[2].gateway.spec().via(), "n0");
  EXPECT_EQ(ask<int>(all[2].gateway, "channel.send(1)"), 1);
}

}  // namespace
}  // namespace gangway::test
