// Stacks, parts, and string options, between two connections of this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>

#include "tests/support/connected.hpp"
#include "tests/support/poll.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;

class Requests : public ConnectedTest {};

TEST_F(Requests, stacks_are_asked_for_and_answered_later) {
  connect();
  agent.owner->stacks = [this](std::uint64_t request) {
    boost::asio::post(runtime->io(), [this, request] { agent->reply_stacks(request, "in f, line 7"); });
  };
  EXPECT_EQ(controller->stacks(in(patience)), "in f, line 7");
}

TEST_F(Requests, stacks_that_nobody_answers_time_out) {
  connect();
  EXPECT_EQ(failure_of([&] { (void)controller->stacks(in(20ms)); }).code, errc::timed_out);
  controller->ping(in(patience));
}

TEST_F(Requests, an_answer_of_another_kind_answers_nobody) {
  connect();
  agent.owner->stacks = [this](std::uint64_t request) {
    // The number of a status request that nobody made.
    boost::asio::post(runtime->io(), [this, request] { agent->reply_stacks(request + 1, "not this one"); });
  };
  EXPECT_EQ(failure_of([&] { (void)controller->stacks(in(50ms)); }).code, errc::timed_out);
}

TEST_F(Requests, a_part_that_is_needed_is_sent_once) {
  connect();
  controller.owner->parts["rsync"] = bytes_of("zlib");
  agent->need_part("rsync");
  agent->need_part("rsync");
  agent->need_part("what?");
  agent->ping(in(patience));
  controller->send_part("rsync", bytes_of("again").span());
  controller->send_part("tasks", bytes_of("more").span());
  controller->ping(in(patience));
  const std::lock_guard lock(agent.owner->mutex);
  EXPECT_THAT(agent.owner->parts_received, ElementsAre("rsync=zlib", "tasks=more"));
}

TEST_F(Requests, a_part_that_does_not_fit_a_frame_is_refused) {
  connect();
  const Bytes large = pattern(limits::frame_sent - 2);
  EXPECT_EQ(failure_of([&] { controller->send_part("ab", large.span()); }).code, errc::item_too_large);
  EXPECT_FALSE(failure_of([&] { controller->send_part("a", large.span()); }).code);
  EXPECT_EQ(failure_of([&] { controller->send_part("", {}); }).code, errc::item_too_large);
  controller->ping(in(patience));
}

}  // namespace
}  // namespace gangway::testing
