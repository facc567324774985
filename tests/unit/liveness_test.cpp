#include "gateways/liveness.hpp"

#include <gtest/gtest.h>

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;
using Action = Liveness::Action;
const Liveness::Clock::time_point start{1000s};

TEST(Liveness, pings_every_interval_while_it_is_answered) {
  Liveness liveness(15s, start);
  for (auto now = start + 15s; now < start + 10min; now += 15s) {
    EXPECT_EQ(liveness.on_tick(now), Action::send_ping);
    EXPECT_FALSE(liveness.unresponsive(now));
    liveness.on_pong(now + 1s);
    EXPECT_FALSE(liveness.unresponsive(now + 14s));
  }
}

TEST(Liveness, has_one_ping_out_at_most) {
  Liveness liveness(15s, start);
  EXPECT_EQ(liveness.on_tick(start + 15s), Action::send_ping);
  for (int i = 2; i < 100; ++i) EXPECT_EQ(liveness.on_tick(start + i * 15s), Action::none);
  liveness.on_pong(start + 1500s);
  EXPECT_EQ(liveness.on_tick(start + 1515s), Action::send_ping);
}

TEST(Liveness, silence_of_three_intervals_is_unresponsive) {
  Liveness liveness(15s, start);
  (void)liveness.on_tick(start + 15s);
  EXPECT_FALSE(liveness.unresponsive(start + 45s - 1ns));
  EXPECT_EQ(liveness.unresponsive(start + 45s), 45s);
  EXPECT_EQ(liveness.unresponsive(start + 60s), 60s);
  liveness.on_pong(start + 61s);
  EXPECT_FALSE(liveness.unresponsive(start + 61s));
  EXPECT_FALSE(liveness.unresponsive(start + 10h));  // nobody asked
}

// Row E10: who could not ask has no right to complain.
TEST(Liveness, a_controller_that_was_stopped_itself_gives_the_agent_time_to_answer) {
  Liveness liveness(15s, start);
  const auto late = start + 300s;
  EXPECT_EQ(liveness.on_tick(late), Action::send_ping);
  EXPECT_FALSE(liveness.unresponsive(late));
  EXPECT_FALSE(liveness.unresponsive(late + 30s - 1ns));
  EXPECT_EQ(liveness.unresponsive(late + 30s), 330s);
}

TEST(Liveness, an_answer_that_nobody_asked_for_does_no_harm) {
  Liveness liveness(15s, start);
  liveness.on_pong(start + 1s);
  EXPECT_EQ(liveness.on_tick(start + 15s), Action::send_ping);
}

}  // namespace
}  // namespace gangway::detail
