// RECONFIGURE, STACKS, PART and NEED, and LAST_MESSAGE from both sides: which are taken, and
// what a peer is told that breaks their rules. Rows D2 to D6 of the fault catalogue.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using detail::Strings;

Bytes flags(unsigned value) { return Bytes(std::string(1, static_cast<char>(value))); }
Bytes part(std::string_view name, std::string_view zlib) {
  return flags(static_cast<unsigned>(name.size())) + bytes_of(name) + bytes_of(zlib);
}

struct Row {
  const char* what;
  Side side;
  Bytes frame;
  const char* failure;  // part of it; "": it is taken
  std::vector<std::string> events;
};

TEST(ControlFrames, rules) {
  constexpr Side c = Side::controller;
  constexpr Side a = Side::agent;
  const std::string long_stacks(limits::stacks_text, 's');
  const std::string long_name(limits::part_name, 'n');
  const Row table[] = {
      {"STACKS", a, frame(ControlKind::stacks, 0, number(7)), "", {"stacks 7"}},
      {"STACKS", c, frame(ControlKind::stacks, 0, number(7)), "STACKS from the agent", {}},
      {"too short", a, frame(ControlKind::stacks, 0, pattern(7)), "not 8 bytes", {}},
      {"with a channel", a, frame(ControlKind::stacks, 1, number(7)), "with a channel id", {}},
      {"STACKS_REPLY",
       c,
       frame(ControlKind::stacks_reply, 0, number(7) + bytes_of("at f")),
       "",
       {"stacks_reply 7 at f"}},
      {"at its limit",
       c,
       frame(ControlKind::stacks_reply, 0, number(7) + bytes_of(long_stacks)),
       "",
       {"stacks_reply 7 " + long_stacks}},
      {"over it",
       c,
       frame(ControlKind::stacks_reply, 0, number(7) + bytes_of(long_stacks + "s")),
       "more than 65000",
       {}},
      {"not UTF-8", c, frame(ControlKind::stacks_reply, 0, number(7) + bytes_of("\xff")), "not UTF-8", {}},
      {"too short", c, frame(ControlKind::stacks_reply, 0, pattern(7)), "too short", {}},
      {"STACKS_REPLY", a, frame(ControlKind::stacks_reply, 0, number(7)), "to an agent", {}},
      {"PART", a, frame(ControlKind::part, 0, part("rsync", "zlib")), "", {"part rsync 4"}},
      {"PART", c, frame(ControlKind::part, 0, part("rsync", "zlib")), "PART from the agent", {}},
      {"empty", a, frame(ControlKind::part), "PART", {}},
      {"without a name", a, frame(ControlKind::part, 0, part("", "zlib")), "PART", {}},
      {"without a stream", a, frame(ControlKind::part, 0, part("rsync", "")), "PART", {}},
      {"name longer than it", a, frame(ControlKind::part, 0, flags(9) + bytes_of("rsync")), "PART", {}},
      {"name not UTF-8", a, frame(ControlKind::part, 0, part("\xff", "zlib")), "not UTF-8", {}},
      {"NEED", c, frame(ControlKind::need, 0, bytes_of("rsync")), "", {"need rsync"}},
      {"at its limit", c, frame(ControlKind::need, 0, bytes_of(long_name)), "", {"need " + long_name}},
      {"over it", c, frame(ControlKind::need, 0, bytes_of(long_name + "n")), "too long", {}},
      {"not UTF-8", c, frame(ControlKind::need, 0, bytes_of("\xc3")), "not UTF-8", {}},
      {"NEED, skipped", a, frame(ControlKind::need, 0, bytes_of("rsync")), "", {}},
      {"NEED of any form, skipped", a, frame(ControlKind::need, 7, bytes_of(long_name + "\xc3")), "", {}},
      {"RECONFIGURE of all", a, frame(ControlKind::reconfigure, 0, flags(2)), "", {}},
      {"RECONFIGURE of all", c, frame(ControlKind::reconfigure, 0, flags(2)), "from the agent", {}},
      {"unknown option", a, frame(ControlKind::reconfigure, 0, flags(4)), "unknown options", {}},
      {"without options", a, frame(ControlKind::reconfigure, 0), "not one byte", {}},
      {"two bytes", a, frame(ControlKind::reconfigure, 0, flags(1) + flags(1)), "not one byte", {}},
      {"of a channel never opened", a, frame(ControlKind::reconfigure, 9, flags(1)), "never opened", {}},
      {"the first kind that is unknown", c, frame(std::uint8_t{0x50}, 0), "unknown control frame 80", {}},
      {"an optional one", c, frame(std::uint8_t{0x81}, 0, pattern(9)), "", {}},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(std::string(row.what) + (row.side == c ? ", to a controller" : ", to an agent"));
    for (const std::size_t step : {row.frame.size(), std::size_t{1}}) {
      Machine at(row.side);
      bool taken = true;
      for (auto rest = row.frame.span(); taken && !rest.empty(); rest = rest.subspan(std::min(step, rest.size())))
        taken = at.feed(Bytes(rest.first(std::min(step, rest.size()))));
      EXPECT_EQ(taken, *row.failure == '\0') << at.machine.failure();
      EXPECT_THAT(at.machine.failure(), HasSubstr(row.failure));
      if (taken) {
        EXPECT_EQ(at.events, row.events);
      }
    }
  }
}

TEST(ControlFrames, go_out_as_wire_md_says) {
  Machine controller(Side::controller), agent(Side::agent);
  const auto channel = controller.machine.open();
  controller.machine.request_stacks(3);
  controller.machine.part("rsync", bytes_of("zlib").span());
  controller.machine.reconfigure(*channel, {true, true});
  controller.machine.reconfigure_later_channels({false, false});
  const auto frames = cut(controller.output().span());
  ASSERT_EQ(frames.size(), 5U);
  EXPECT_EQ(frames[1].describe(), "STACKS = 3");
  EXPECT_EQ(frames[2].payload, part("rsync", "zlib"));
  EXPECT_EQ(frames[3].describe(), "RECONFIGURE 1, 1 bytes");
  EXPECT_EQ(frames[3].payload, flags(3));
  EXPECT_EQ(frames[4].payload, flags(0));
  agent.machine.need("rsync");
  EXPECT_THAT(agent.frames(), ElementsAre("NEED rsync"));
}

TEST(ControlFrames, long_stacks_are_cut_between_characters) {
  Machine agent(Side::agent), controller(Side::controller);
  agent.machine.reply_stacks(1, "a" + std::string(limits::stacks_text - 2, 's') + "\xc3\xa4 more");
  agent.machine.reply_stacks(2, "bad \xff");
  ASSERT_TRUE(controller.feed(agent.output())) << controller.machine.failure();
  EXPECT_THAT(controller.events,
              ElementsAre("stacks_reply 1 a" + std::string(limits::stacks_text - 2, 's'), "stacks_reply 2 bad ?"));
}

TEST(ControlFrames, a_peer_that_asks_for_stacks_and_parts_and_never_reads_is_stopped) {
  for (const Side side : {Side::agent, Side::controller}) {
    Machine at(side);
    const Bytes ask =
        side == Side::agent ? frame(ControlKind::stacks, 0, number(1)) : frame(ControlKind::need, 0, bytes_of("x"));
    std::size_t asked = 0;
    const Bytes more = frame(ControlKind::ping, 0, number(1));  // so that something waits
    while (at.feed(more + ask)) ASSERT_LT(++asked, 2 * limits::control_frames_queued);
    EXPECT_THAT(at.machine.failure(), HasSubstr("does not read"));
  }
}

// --- RECONFIGURE

TEST(ControlFrames, string_options_hold_for_what_arrives_afterwards) {
  Machine at(Side::agent);
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 1) + item(ItemKind::str, 1, bytes_of("a")) +
                      frame(ControlKind::reconfigure, 1, flags(2)) + item(ItemKind::str, 1, bytes_of("b")) +
                      begin(ItemKind::str, 1, 4, bytes_of("cc")) + item(ItemKind::str, 1, bytes_of("cc"), Part::end)));
  const auto channel = at.machine.find(1);
  EXPECT_EQ(at.machine.take(*channel)->strings, Strings::as_text);
  EXPECT_EQ(at.machine.take(*channel)->strings, Strings::as_bytes);
  EXPECT_EQ(at.machine.take(*channel)->strings, Strings::as_bytes);
}

TEST(ControlFrames, string_options_of_all_channels_hold_for_those_opened_later_by_either_side) {
  Machine at(Side::agent);
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 1)));
  const auto own_before = at.machine.open();
  ASSERT_TRUE(at.feed(frame(ControlKind::reconfigure, 0, flags(2)) + frame(ControlKind::open, 3)));
  EXPECT_EQ(at.machine.find(1)->strings, Strings::as_text);
  EXPECT_EQ(own_before->strings, Strings::as_text);
  EXPECT_EQ(at.machine.find(3)->strings, Strings::as_bytes);
  EXPECT_EQ(at.machine.open()->strings, Strings::as_bytes);
}

TEST(ControlFrames, a_closed_channel_is_not_reconfigured_on_the_wire) {
  Machine at(Side::controller);
  const auto channel = at.machine.open();
  at.machine.close(channel);
  at.machine.reconfigure(*channel, {});
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "CLOSE 1"));
}

// --- LAST_MESSAGE from both sides

TEST(ControlFrames, a_channel_on_which_neither_side_sends_any_more_is_over) {
  Machine at(Side::controller);
  const auto channel = at.machine.open();
  at.machine.last_message(*channel);
  EXPECT_EQ(at.machine.live(), 1U);
  ASSERT_TRUE(at.feed(frame(ControlKind::last_message, 1)));
  EXPECT_EQ(at.machine.live(), 0U);
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "LAST_MESSAGE 1", "CLOSE 1"));
  EXPECT_THAT(at.events, ElementsAre("end 1"));
}

TEST(ControlFrames, what_waits_to_be_sent_goes_out_before_such_a_channel_is_over) {
  Machine at(Side::controller);
  const auto channel = at.machine.open();
  Send one(ItemKind::bytes, pattern(900)), two(ItemKind::bytes, pattern(900, 1));
  at.machine.send(channel, one);
  at.machine.send(channel, two);
  at.machine.last_message(*channel);
  (void)at.output();
  ASSERT_TRUE(at.feed(frame(ControlKind::last_message, 1)));
  EXPECT_EQ(at.machine.live(), 1U);
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(932))));
  EXPECT_THAT(at.frames(), ElementsAre("BYTES end 1, 848 bytes", "CLOSE 1"));
  EXPECT_FALSE(two.result->failed());
  EXPECT_EQ(at.machine.live(), 0U);
}

}  // namespace
}  // namespace gangway::testing
