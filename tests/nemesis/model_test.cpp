// The model has to notice what the nemesis test looks for.
#include <gmock/gmock.h>

#include <set>

#include "tests/nemesis/model.hpp"
#include "tests/nemesis/operation.hpp"
#include "tests/nemesis/output_model.hpp"

namespace gangway::nemesis {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Farewell = ChannelModel::Farewell;

constexpr std::uint32_t lane = 7;

class Model : public ::testing::TestWithParam<Readers> {
 protected:
  Model() : model(GetParam(), Farewell::report) {
    for (int i = 0; i < 3; ++i) {
      (void)model.lane(lane).begin();
      model.lane(lane).sent();
    }
  }
  Verdict arrives(std::uint32_t number) { return model.item({lane, number}, false); }
  /// What is found by the end at the latest.
  Verdict arrive(const std::vector<std::uint32_t>& numbers) {
    for (const std::uint32_t number : numbers)
      if (auto problem = arrives(number); !problem.empty()) return problem;
    return model.settled();
  }

  ChannelModel model;
};
INSTANTIATE_TEST_SUITE_P(, Model, ::testing::Values(Readers::one, Readers::many), [](const auto& parameter) {
  return parameter.param == Readers::one ? "one_reader" : "many_readers";
});

TEST_P(Model, a_prefix_is_fine) {
  EXPECT_THAT(arrive({0, 1}), IsEmpty());
  EXPECT_THAT(model.ended(End::lost, "", {false, true}), IsEmpty());
  EXPECT_THAT(model.settled(), IsEmpty());
}

TEST_P(Model, a_lost_item_is_found) { EXPECT_THAT(arrive({0, 2}), HasSubstr("number 1")); }

TEST_P(Model, an_item_that_comes_twice_is_found) { EXPECT_THAT(arrive({0, 1, 1}), HasSubstr("twice")); }

TEST_P(Model, an_item_that_nobody_sent_is_found) { EXPECT_THAT(arrive({0, 1, 2, 3}), HasSubstr("only 3 were sent")); }

TEST_P(Model, an_item_of_another_channel_is_found) {
  EXPECT_THAT(model.item({lane + 1, 0}, false), HasSubstr("not of this channel"));
}

TEST_P(Model, an_item_after_the_end_is_found) {
  EXPECT_THAT(model.item({lane, 0}, true), HasSubstr("after the end"));
  EXPECT_THAT(model.report({}, true), HasSubstr("after the end"));
}

TEST_P(Model, items_missing_at_a_good_end_are_found) {
  EXPECT_THAT(arrive({0, 1}), IsEmpty());
  auto problem = model.report({{lane, 3}}, false);
  if (problem.empty()) problem = model.settled();
  EXPECT_THAT(problem, HasSubstr("2 items of lane 7 arrived, and the far side sent 3"));
}

TEST_P(Model, items_that_never_reached_the_far_side_are_found) {
  model.stopped(model.known_to_be_sent());
  EXPECT_THAT(arrive({0, 1}), IsEmpty());
  auto problem = model.report({{lane, 2}}, false);
  if (problem.empty()) problem = model.settled();
  EXPECT_THAT(problem, HasSubstr("3 were sent before"));
}

TEST_P(Model, a_good_end_without_the_last_word_is_found) {
  auto problem = model.ended(End::clean, "", {});
  if (problem.empty()) problem = model.settled();
  EXPECT_THAT(problem, HasSubstr("without a word"));
}

TEST_P(Model, a_lost_connection_needs_a_reason) {
  EXPECT_THAT(model.ended(End::lost, "gone", {false, true}), IsEmpty());
  EXPECT_THAT(model.ended(End::lost, "gone", {true, false}), HasSubstr("nobody harmed the gateway: gone"));
}

TEST_P(Model, a_remote_error_needs_a_reason_and_comes_once) {
  EXPECT_THAT(model.ended(End::remote_error, "why", {true, false}), IsEmpty());
  EXPECT_THAT(model.ended(End::remote_error, "why", {true, false}), HasSubstr("twice"));
  ChannelModel other(GetParam(), Farewell::report);
  EXPECT_THAT(other.ended(End::remote_error, "why", {}), HasSubstr("unexpected remote error: why"));
  ChannelModel refused(GetParam(), Farewell::report);
  const std::string refusal = "concurrent remote_exec would cause deadlock: ...";
  EXPECT_THAT(refused.ended(End::remote_error, refusal, {.one_task_only = true}), IsEmpty());
  ChannelModel interrupted(GetParam(), Farewell::report);
  EXPECT_THAT(interrupted.ended(End::remote_error, "keyboard-interrupted", {.interrupted = true}), IsEmpty());
  ChannelModel another(GetParam(), Farewell::report);
  EXPECT_THAT(another.ended(End::remote_error, "keyboard-interrupted", {}), HasSubstr("unexpected"));
}

TEST_P(Model, what_the_far_side_found_counts_whatever_was_done) {
  EXPECT_THAT(model.ended(End::remote_error, "RuntimeError: nemesis: item 3", {true, true}), HasSubstr("item 3"));
}

TEST_P(Model, an_expected_error_must_come) {
  ChannelModel other(GetParam(), Farewell::error);
  (void)other.ended(End::clean, "", {});
  EXPECT_THAT(other.settled(), HasSubstr("without the error"));
}

TEST_P(Model, a_send_that_was_taken_back_must_not_arrive) {
  EXPECT_THAT(model.lane(lane).withdrawn(), IsEmpty());
  EXPECT_THAT(arrives(2), HasSubstr("only 2 were sent"));
  (void)model.lane(lane).begin();
  EXPECT_THAT(arrive({0, 1, 2}), IsEmpty());
  EXPECT_THAT(model.lane(lane).withdrawn(), HasSubstr("arrived"));
}

TEST_P(Model, an_end_marker_comes_once_and_is_an_end) {
  EXPECT_THAT(model.end_marked("Traceback ...", {false, true}), IsEmpty());
  EXPECT_TRUE(model.over());
  EXPECT_THAT(model.end_marked("", {false, true}), HasSubstr("second end marker"));
}

TEST_P(Model, sends_and_waits_after_the_end_must_fail) {
  EXPECT_THAT(model.sent(true), HasSubstr("after the end"));
  EXPECT_THAT(model.timed_out(true, false), HasSubstr("after the end"));
  EXPECT_THAT(model.timed_out(false, true), HasSubstr("waitclose"));
}

TEST(Reordering, is_found_at_once_with_one_reader_and_allowed_between_several) {
  for (const Readers readers : {Readers::one, Readers::many}) {
    ChannelModel model(readers, Farewell::none);
    model.lane(lane).announce(2);
    EXPECT_EQ(model.item({lane, 1}, false).empty(), readers == Readers::many);
  }
}

std::string printed(std::uint32_t number, std::uint32_t of_lane = lane) {
  return make_item(Form::text, {of_lane, number}, 3).as_str() + "\n";
}

TEST(OutputLines, come_whole_in_order_and_once) {
  OutputModel model;
  EXPECT_THAT(model.came(1, printed(0) + printed(1), false), IsEmpty());
  EXPECT_THAT(model.came(3, printed(0, lane + 1), false), IsEmpty());
  EXPECT_THAT(model.came(1, printed(2), false), IsEmpty());
  EXPECT_THAT(model.came(1, printed(2), false), HasSubstr("line 2 came, and not line 3"));
  EXPECT_THAT(model.came(1, printed(4), false), HasSubstr("line 4 came, and not line 3"));
  EXPECT_THAT(model.came(1, printed(3, lane + 1), false), HasSubstr("a line of lane 8"));
  EXPECT_THAT(model.came(1, "7.3;7.3;" + printed(0), false), HasSubstr("damaged"));
}

TEST(OutputLines, may_be_cut_by_the_end_of_a_task_that_was_disturbed) {
  OutputModel model;
  EXPECT_THAT(model.came(1, printed(0) + "7.1;", false), HasSubstr("without its end"));
  EXPECT_THAT(model.came(3, printed(0) + "7.1;", true), IsEmpty());
  EXPECT_THAT(model.came(3, printed(1), true), HasSubstr("after its end"));
}

TEST(OutputLines, have_all_come_in_the_end) {
  OutputModel model;
  model.printed(lane, 2);
  EXPECT_THAT(model.settled(), HasSubstr("0 lines of lane 7 came, and 2 were printed"));
  EXPECT_THAT(model.came(1, printed(0) + printed(1), false), IsEmpty());
  EXPECT_THAT(model.settled(), IsEmpty());
}

TEST(Items, are_read_as_they_were_made_and_not_when_damaged) {
  for (std::size_t form = 0; form < forms; ++form) {
    const Numbered which{3, 70'000};
    Value item = make_item(static_cast<Form>(form), which, 50);
    EXPECT_EQ(read_item(item), which) << form;
    if (auto* const bytes = item.get_if<Bytes>()) (*bytes)[200] ^= std::byte{1};
    if (auto* const text = item.get_if<std::string>()) (*text)[200] ^= 1;
    if (auto* const tuple = item.get_if<Tuple>()) (*tuple)[2].as_list()[40].as_dict()["half"] = 1.0;
    if (!item.is_int()) {
      EXPECT_EQ(read_item(item), std::nullopt) << form;
    }
  }
}

TEST(Operations, follow_from_the_seed_and_reach_every_kind) {
  Generator one(1);
  Generator same(1);
  Generator other(2);
  std::set<Action> seen;
  bool differs = false;
  for (int i = 0; i < 20'000; ++i) {
    const Operation operation = one.next();
    const Operation again = same.next();
    ASSERT_EQ(operation.action, again.action);
    ASSERT_EQ(operation.pick, again.pick);
    ASSERT_EQ(operation.size, again.size);
    ASSERT_EQ(operation.time, again.time);
    differs = differs || operation.pick != other.next().pick;
    seen.insert(operation.action);
  }
  EXPECT_EQ(seen.size(), action_kinds().size());
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace gangway::nemesis
