#include "gateways/termination.hpp"

#include <gtest/gtest.h>

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;
using Action = Termination::Action;
const Termination::Time start{1000s};

TEST(Termination, goes_through_its_stages_in_time) {
  Termination termination(start + 5s);
  EXPECT_EQ(termination.next(), start + 5s);
  EXPECT_EQ(termination.resume(false, start), Action::wait);
  EXPECT_EQ(termination.resume(false, start + 5s - 1ns), Action::wait);
  EXPECT_FALSE(termination.killed());

  EXPECT_EQ(termination.resume(false, start + 5s), Action::ask_keeper);
  EXPECT_TRUE(termination.killed());
  EXPECT_EQ(termination.next(), start + 5s + limits::term_grace);
  EXPECT_EQ(termination.resume(false, start + 5s), Action::wait);

  const auto kill = start + 5s + limits::term_grace;
  EXPECT_EQ(termination.resume(false, kill), Action::kill);
  EXPECT_EQ(termination.next(), kill + limits::kill_grace);
  EXPECT_EQ(termination.resume(false, kill), Action::wait);

  EXPECT_EQ(termination.resume(false, kill + limits::kill_grace), Action::give_up);
  EXPECT_EQ(termination.resume(false, kill + 10h), Action::give_up);
}

TEST(Termination, is_done_in_every_stage_when_the_process_is_gone) {
  for (int stages = 0; stages < 4; ++stages) {
    Termination termination(start);
    auto now = start;
    for (int i = 0; i < stages; ++i, now += 10s) (void)termination.resume(false, now);
    EXPECT_EQ(termination.resume(true, now), Action::done);
    EXPECT_EQ(termination.killed(), stages > 0);
  }
}

TEST(Termination, a_stage_that_was_missed_is_not_skipped) {
  Termination termination(start);
  const auto late = start + 1h;
  EXPECT_EQ(termination.resume(false, late), Action::ask_keeper);
  EXPECT_EQ(termination.resume(false, late), Action::wait);  // the keeper has its time from now on
  EXPECT_EQ(termination.resume(false, late + limits::term_grace), Action::kill);
}

TEST(Termination, without_a_deadline_nothing_is_killed) {
  Termination termination({});
  EXPECT_FALSE(termination.next());
  EXPECT_EQ(termination.resume(false, start + 1000h), Action::wait);
  EXPECT_FALSE(termination.killed());
  EXPECT_EQ(termination.resume(true, start + 1000h), Action::done);
}

// Guarantee G4: terminate(t) returns within t + 2 s.
TEST(Termination, its_stages_fit_into_the_promise) { EXPECT_LE(limits::term_grace + limits::kill_grace, 2s); }

}  // namespace
}  // namespace gangway::detail
