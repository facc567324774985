#include <gtest/gtest.h>

#include "gateways/server/admission.hpp"

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;

TEST(Admission, the_longest_of_too_many_strangers_has_to_go) {
  Admission admission;
  const Admission::Time now{};
  Admission::Id id = 0;
  while (admission.strangers() < limits::greeting_slots) {
    EXPECT_EQ(admission.room_at(now), now);
    EXPECT_FALSE(admission.enter(++id, now));
  }
  EXPECT_EQ(admission.room_at(now), now + greeting_least);  // but not before he has had his time
  EXPECT_EQ(admission.enter(++id, now + 1s), Admission::Id{1});
  EXPECT_EQ(admission.strangers(), limits::greeting_slots);
  admission.leave(5);
  admission.leave(5);
  EXPECT_FALSE(admission.enter(++id, now + 1s));
  EXPECT_EQ(admission.enter(++id, now + 1s), Admission::Id{2});
}

TEST(Admission, wrong_secrets_of_a_source_are_tried_one_a_second) {
  Admission admission;
  const Admission::Time now{};
  EXPECT_EQ(admission.may_try("a", now), now);
  admission.failed("a", now);
  EXPECT_EQ(admission.may_try("a", now), now + 1s);
  EXPECT_EQ(admission.may_try("a", now), now + 2s);  // however many come at once
  EXPECT_EQ(admission.may_try("b", now), now);       // others do not wait
  admission.failed("a", now + 1s);
  EXPECT_EQ(admission.may_try("a", now + 1500ms), now + 3s);
  EXPECT_EQ(admission.may_try("a", now + 10s), now + 10s);
  EXPECT_EQ(admission.may_try("a", now + 10s), now + 10s);  // forgiven
}

TEST(Admission, sources_without_number_take_no_memory_without_number) {
  Admission admission;
  for (int source = 0; source < 100'000; ++source) admission.failed(std::to_string(source), Admission::Time{});
  EXPECT_EQ(admission.may_try("99999", Admission::Time{}), Admission::Time{} + 1s);
}

}  // namespace
}  // namespace gangway::detail
