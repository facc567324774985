// What a multiplexer does beyond single frames: limits, closing, sends, order on the wire.
// Row D16 of the fault catalogue. Flow control has a file of its own.
#include "channels/multiplexer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <gangway/error.hpp>

#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t window = Machine::small_window;

// --- limits: at, over, and not to be raised by the peer

TEST(Multiplexer, the_peer_opens_as_many_channels_as_it_may_and_not_one_more) {
  Machine at(Machine::small(Side::controller));
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 2) + frame(ControlKind::open, 4) + frame(ControlKind::open, 6)));
  // One that is closed makes room, whoever closes it.
  ASSERT_TRUE(at.feed(frame(ControlKind::close, 4) + frame(ControlKind::open, 8)));
  at.machine.close(at.machine.find(2));
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 10)));
  EXPECT_EQ(at.machine.live(), 3U);
  EXPECT_FALSE(at.feed(frame(ControlKind::open, 12)));
  EXPECT_THAT(at.machine.failure(), HasSubstr("more than 3 channels"));
}

TEST(Multiplexer, the_limit_of_the_peers_channels_by_default) {
  Machine at(Side::controller);
  Bytes opens;
  for (std::uint32_t i = 1; i <= limits::peer_channels; ++i) opens = opens + frame(ControlKind::open, 2 * i);
  EXPECT_TRUE(at.feed(opens));
  EXPECT_FALSE(at.feed(frame(ControlKind::open, 2 * (limits::peer_channels + 1))));
}

TEST(Multiplexer, opens_as_many_channels_as_it_may_and_not_one_more) {
  Machine at(Machine::small(Side::controller));
  std::vector<Multiplexer::ChannelPtr> open;
  for (int i = 0; i < 4; ++i) open.push_back(at.machine.open());
  try {
    (void)at.machine.open();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::too_many_channels);
  }
  at.machine.close(open[0]);
  EXPECT_EQ(at.machine.open()->id, 9U);
  ASSERT_TRUE(at.feed(frame(ControlKind::close, 3)));
  EXPECT_EQ(at.machine.open()->id, 11U);
}

TEST(Multiplexer, a_peer_that_pings_and_never_reads_is_stopped) {
  Machine at(Side::controller);
  std::size_t answered = 0;
  while (at.feed(frame(ControlKind::ping, 0, number(answered))))
    ASSERT_LT(++answered, 2 * limits::control_frames_queued);
  EXPECT_GE(answered, limits::control_frames_queued);
  EXPECT_THAT(at.machine.failure(), HasSubstr("does not read"));
}

// 4 KiB are read for every 64 KiB of answers: what waits must not grow without end.
TEST(Multiplexer, a_peer_that_pings_and_reads_too_slowly_is_stopped) {
  for (const Side side : {Side::controller, Side::agent}) {
    Machine at(side);
    const Bytes ask =
        side == Side::agent ? frame(ControlKind::status, 0, number(1)) : frame(ControlKind::ping, 0, number(1));
    std::size_t rounds = 0;
    bool taken = true;
    while (taken && rounds < 100'000) {
      for (int i = 0; taken && i < 2000; ++i) taken = at.feed(ask);
      (void)at.output(4096);
      at.events.clear();
      ++rounds;
      ASSERT_LT(at.machine.queued(), 1024 * 1024U) << rounds;
    }
    EXPECT_FALSE(taken);
  }
}

TEST(Multiplexer, a_peer_that_pings_and_reads_is_answered_for_ever) {
  Machine at(Side::controller);
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(at.feed(frame(ControlKind::ping, 0, number(i))));
    if (i % 1000 == 0) (void)at.output();
  }
}

TEST(Multiplexer, closing_many_channels_is_not_the_peers_fault) {
  Machine at(Side::controller);
  std::vector<Multiplexer::ChannelPtr> open;
  for (int i = 0; i < 10'000; ++i) open.push_back(at.machine.open());
  for (const auto& channel : open) at.machine.close(channel);
  EXPECT_EQ(at.machine.live(), 0U);
  EXPECT_TRUE(at.feed(frame(ControlKind::ping, 0, number(1))));
  EXPECT_EQ(at.frames().size(), 20'001U);
}

// --- closing

TEST(Multiplexer, CLOSE_comes_after_the_items_that_were_sent) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  ASSERT_TRUE(at.machine.send_now(*channel, ItemKind::bytes, pattern(10).span()));
  Send queued(ItemKind::bytes, pattern(100));
  at.machine.send(channel, queued);
  std::array<iovec, 4> room;
  (void)at.machine.gather(room);  // cut into a frame, not yet written
  at.machine.close(channel);
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "BYTES whole 1, 10 bytes", "BYTES whole 1, 100 bytes", "CLOSE 1"));
  EXPECT_EQ(queued.times, 1);
  EXPECT_FALSE(*queued.result);
  EXPECT_THAT(at.events, ElementsAre("end 1"));
  at.machine.close(channel);  // idempotent
  EXPECT_TRUE(at.output().empty());
}

TEST(Multiplexer, a_close_in_the_middle_of_an_item_cuts_it_off_at_both_ends) {
  Machine controller(Side::controller, window), agent(Side::agent, window);
  const auto channel = controller.machine.open();
  Send large(ItemKind::bytes, pattern(100'000));
  controller.machine.send(channel, large);
  const Bytes first = controller.output();
  controller.machine.close(channel);
  EXPECT_EQ(large.times, 1);
  EXPECT_EQ(*large.result, errc::channel_closed);
  ASSERT_TRUE(agent.feed(first));
  const auto there = agent.machine.find(1);
  ASSERT_TRUE(there->assembly);
  ASSERT_TRUE(agent.feed(controller.output()));
  EXPECT_THAT(agent.events, ElementsAre("open 1", "end 1"));
  EXPECT_FALSE(there->assembly);
  EXPECT_FALSE(agent.machine.take(*there));
}

TEST(Multiplexer, a_close_while_a_frame_is_half_read_drops_the_rest) {
  for (const std::size_t at : {8UL, 9UL, 20UL, 500UL}) {
    Machine controller(Side::controller, window);
    const auto channel = controller.machine.open();
    const Bytes stream = begin(ItemKind::bytes, 1, 1500, pattern(1000)) + frame(ControlKind::pong, 0, number(4));
    ASSERT_TRUE(controller.machine.feed(stream.span().first(at)));
    controller.machine.close(channel);
    ASSERT_TRUE(controller.machine.feed(stream.span().subspan(at))) << controller.machine.failure();
    EXPECT_THAT(controller.events, ElementsAre("end 1", "pong 4"));
  }
}

TEST(Multiplexer, what_arrived_before_a_CLOSE_can_be_taken_after_it) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  ASSERT_TRUE(at.feed(item(ItemKind::integer, 1, number(7)) + frame(ControlKind::close_error, 1, bytes_of("boom"))));
  EXPECT_TRUE(channel->closed);
  EXPECT_EQ(channel->error, "boom");
  (void)at.output();
  EXPECT_THAT(at.take_all(channel), ElementsAre(number(7)));
  EXPECT_TRUE(at.output().empty());  // no CREDIT for a channel that is gone
  EXPECT_EQ(at.machine.live(), 0U);
}

TEST(Multiplexer, an_error_text_that_is_too_long_keeps_its_end_and_whole_characters) {
  const struct {
    std::string text, sent;
  } table[] = {
      {"", ""},
      {"why", "why"},
      {std::string(limits::error_text, 'x'), std::string(limits::error_text, 'x')},
      {"begin" + std::string(limits::error_text, 'x'), std::string(limits::error_text, 'x')},
      {"\u20ac" + std::string(limits::error_text - 1, 'x'), std::string(limits::error_text - 1, 'x')},
      // The peer would end the connection for what is not UTF-8.
      {"a\xff"
       "b",
       "a?b"},
      {"\x80\x80 caf\xe9", "?? caf?"},
      {std::string(limits::error_text - 1, 'x') + "\xc3", std::string(limits::error_text - 1, 'x') + "?"},
  };
  for (const auto& row : table) {
    Machine controller(Side::controller), agent(Side::agent);
    controller.machine.close(controller.machine.open(), row.text);
    const std::vector<Frame> sent = cut(controller.output().span());
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(sent[1].payload.view(), row.sent);
    EXPECT_TRUE(agent.feed(frame(ControlKind::open, 1) + frame(ControlKind::close_error, 1, sent[1].payload)));
  }
}

TEST(Multiplexer, LAST_MESSAGE_comes_after_the_items_that_wait_and_ends_sending) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  Send large(ItemKind::bytes, pattern(3000));
  Send small_one(ItemKind::bytes, pattern(5));
  at.machine.send(channel, large);
  at.machine.send(channel, small_one);
  at.machine.last_message(*channel);
  at.machine.last_message(*channel);
  Send late(ItemKind::bytes, pattern(5));
  at.machine.send(channel, late);
  EXPECT_EQ(*late.result, errc::channel_closed);
  EXPECT_FALSE(at.machine.send_now(*channel, ItemKind::bytes, pattern(5).span()));
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "BYTES begin 1, 2016 bytes"));
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(window))));
  EXPECT_THAT(at.frames(), ElementsAre("BYTES end 1, 992 bytes", "BYTES whole 1, 5 bytes", "LAST_MESSAGE 1"));
  EXPECT_EQ(large.times + small_one.times, 2);

  // It receives, still.
  ASSERT_TRUE(at.feed(item(ItemKind::integer, 1, number(1))));
  EXPECT_EQ(at.take_all(channel).size(), 1U);
  at.machine.close(channel);
  EXPECT_THAT(at.frames(), ElementsAre("CLOSE 1"));
}

TEST(Multiplexer, LAST_MESSAGE_is_sent_when_the_last_send_is_withdrawn) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  Send fills(ItemKind::bytes, pattern(window - 32)), waits(ItemKind::bytes, pattern(5));
  at.machine.send(channel, fills);
  at.machine.send(channel, waits);
  (void)at.output();
  at.machine.last_message(*channel);
  EXPECT_TRUE(at.machine.withdraw(*channel, waits));
  EXPECT_THAT(at.frames(), ElementsAre("LAST_MESSAGE 1"));
}

TEST(Multiplexer, after_the_peers_LAST_MESSAGE_only_sending_goes_on) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  ASSERT_TRUE(at.feed(item(ItemKind::integer, 1, number(1)) + frame(ControlKind::last_message, 1)));
  EXPECT_FALSE(channel->closed);
  EXPECT_FALSE(channel->receivable);
  (void)at.output();
  EXPECT_EQ(at.take_all(channel).size(), 1U);
  EXPECT_TRUE(at.machine.send_now(*channel, ItemKind::bytes, pattern(5).span()));
  EXPECT_THAT(at.frames(), ElementsAre("BYTES whole 1, 5 bytes"));
}

// --- channels that the peer opens and an item refers to

TEST(Multiplexer, a_channel_can_be_claimed_after_the_peer_has_closed_it) {
  Machine at(Machine::small(Side::controller));
  at.claims = false;
  ASSERT_TRUE(
      at.feed(frame(ControlKind::open, 2) + item(ItemKind::integer, 2, number(5)) + frame(ControlKind::close, 2)));
  const auto channel = at.machine.claim(2);
  ASSERT_TRUE(channel);
  EXPECT_TRUE(channel->closed);
  EXPECT_THAT(at.take_all(channel), ElementsAre(number(5)));
}

TEST(Multiplexer, claims_none_but_channels_that_were_open) {
  Machine at(Machine::small(Side::controller));
  at.claims = false;
  (void)at.machine.open();
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 4)));
  EXPECT_EQ(at.machine.claim(1), at.machine.find(1));
  EXPECT_EQ(at.machine.claim(4), at.machine.find(4));
  for (const std::uint32_t id : {0U, 3U, 6U, 0xffffffffU}) EXPECT_FALSE(at.machine.claim(id)) << id;
}

TEST(Multiplexer, channels_that_nobody_claims_are_not_kept_for_ever) {
  Machine at(Machine::small(Side::controller));
  at.claims = false;
  for (std::uint32_t id = 2; id <= 20; id += 2)
    ASSERT_TRUE(at.feed(frame(ControlKind::open, id) + item(ItemKind::integer, id, number(id)) +
                        frame(ControlKind::close, id)));
  EXPECT_THAT(at.take_all(at.machine.claim(20)), ElementsAre(number(20)));
  EXPECT_THAT(at.take_all(at.machine.claim(16)), ElementsAre(number(16)));
  EXPECT_THAT(at.take_all(at.machine.claim(2)), IsEmpty());  // three are kept
}

TEST(Multiplexer, a_large_item_is_given_credit_for_only_when_somebody_has_its_channel) {
  Machine at(Machine::small(Side::controller));
  at.claims = false;
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 2) + begin(ItemKind::bytes, 2, 3000, pattern(1500))));
  EXPECT_TRUE(at.output().empty());
  ASSERT_TRUE(at.machine.claim(2));
  EXPECT_THAT(at.frames(), ElementsAre("CREDIT 2 = 1540"));
}

TEST(Multiplexer, what_arrives_on_channels_that_nobody_has_is_bounded_in_all) {
  Machine::Settings settings = Machine::settings_of(Side::controller, window);
  Machine at(settings);
  at.claims = false;
  const auto fill = [&](std::uint32_t id) {
    return at.feed(frame(ControlKind::open, id) + item(ItemKind::bytes, id, pattern(window - limits::item_cost)));
  };
  std::uint32_t id = 0;
  for (int windows = 0; windows < 16; ++windows) {
    ASSERT_TRUE(fill(id += 2));
    if (windows % 2 == 0) {
      ASSERT_TRUE(at.feed(frame(ControlKind::close, id)));  // which is kept, and counts
    }
  }
  ASSERT_TRUE(at.machine.claim(2));  // makes room for one
  ASSERT_TRUE(at.machine.claim(4));  // and another
  ASSERT_TRUE(fill(id += 2));
  ASSERT_TRUE(fill(id += 2));
  EXPECT_FALSE(fill(id += 2));
  EXPECT_THAT(at.machine.failure(), HasSubstr("more than 16 windows"));
}

TEST(Multiplexer, what_arrived_is_still_there_after_the_connection_was_lost) {
  Machine at(Machine::small(Side::controller));
  at.claims = false;
  const auto own = at.machine.open();
  ASSERT_TRUE(at.feed(frame(ControlKind::open, 2) + item(ItemKind::integer, 2, number(5)) +
                      item(ItemKind::integer, 1, number(6))));
  at.machine.fail(errc::connection_lost);
  EXPECT_THAT(at.take_all(own), ElementsAre(number(6)));
  const auto claimed = at.machine.claim(2);
  ASSERT_TRUE(claimed);
  EXPECT_FALSE(claimed->closed);  // it was lost, not closed
  EXPECT_THAT(at.take_all(claimed), ElementsAre(number(5)));
  EXPECT_EQ(at.machine.claim(2), claimed);
  EXPECT_EQ(at.machine.claim(1), own);
}

// --- sends

TEST(Multiplexer, a_send_can_be_withdrawn_until_it_has_begun) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  Send large(ItemKind::bytes, pattern(5000)), second(ItemKind::bytes, pattern(5)), third(ItemKind::bytes, pattern(6));
  at.machine.send(channel, large);
  at.machine.send(channel, second);
  at.machine.send(channel, third);
  EXPECT_TRUE(at.machine.withdraw(*channel, second));
  EXPECT_FALSE(at.machine.withdraw(*channel, second));
  (void)at.output();
  EXPECT_FALSE(at.machine.withdraw(*channel, large));
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(window))));
  (void)at.output();
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(window))));
  EXPECT_THAT(at.frames(), Contains("BYTES whole 1, 6 bytes"));
  EXPECT_EQ(large.times, 1);
  EXPECT_EQ(second.times, 0);
  EXPECT_EQ(third.times, 1);
  EXPECT_FALSE(at.machine.withdraw(*channel, third));
}

TEST(Multiplexer, a_withdrawn_send_does_not_hold_up_others) {
  Machine at(Side::controller, window);
  const auto a = at.machine.open(), b = at.machine.open();
  Send first(ItemKind::bytes, pattern(5)), second(ItemKind::bytes, pattern(6));
  at.machine.send(a, first);
  at.machine.send(b, second);
  EXPECT_TRUE(at.machine.withdraw(*a, first));
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "OPEN 3", "BYTES whole 3, 6 bytes"));
}

TEST(Multiplexer, large_payloads_are_sent_from_where_they_are) {
  Machine at(Side::controller, limits::window);
  const auto channel = at.machine.open();
  Send large(ItemKind::bytes, pattern(60'000));
  at.machine.send(channel, large);
  std::array<iovec, 8> room;
  const auto pieces = at.machine.gather(room);
  EXPECT_EQ(pieces.back().iov_base, large.payload.data());
  EXPECT_EQ(large.times, 0);
  (void)at.output(60'000);
  EXPECT_EQ(large.times, 0);
  (void)at.output();
  EXPECT_EQ(large.times, 1);
}

TEST(Multiplexer, a_payload_that_goes_away_is_copied_whatever_part_of_it_was_written) {
  for (std::size_t written = 0; written < 30'000; written += 1777) {
    Machine controller(Side::controller, 20'000), agent(Side::agent, 20'000);
    const auto channel = controller.machine.open();
    auto large = std::make_unique<Send>(ItemKind::bytes, pattern(30'000));
    controller.machine.send(channel, *large);
    ASSERT_TRUE(agent.feed(controller.output(written)));
    controller.machine.close(channel);  // the first frame is in the queue, the sender fails
    EXPECT_EQ(large->times, 1);
    large.reset();
    ASSERT_TRUE(agent.feed(controller.output())) << agent.machine.failure();
    EXPECT_THAT(agent.events, ElementsAre("open 1", "end 1"));
  }
}

TEST(Multiplexer, a_send_that_is_half_out_fails_when_its_channel_is_closed_and_its_frame_stays_whole) {
  // In one frame, in two, and with a rest that is in none.
  for (const std::size_t size : {5'000U, 100'000U, 1'000'000U})
    for (const std::size_t written : {0U, 3U, 4'000U})
      for (const bool by_peer : {false, true}) {
        SCOPED_TRACE(std::to_string(size) + ", " + std::to_string(written) + (by_peer ? ", by the peer" : ""));
        Machine at(Side::controller, limits::window), peer(Side::agent, limits::window);
        const auto channel = at.machine.open(), other = at.machine.open();
        (void)at.frames();
        auto half_out = std::make_unique<Send>(ItemKind::bytes, pattern(size));
        Send beside(ItemKind::bytes, pattern(5'000));
        at.machine.send(channel, *half_out);
        at.machine.send(other, beside);
        Bytes stream = frame(ControlKind::open, 1) + frame(ControlKind::open, 3) + at.output(written);
        std::array<iovec, 16> room;
        (void)at.machine.gather(room);
        if (by_peer) {
          ASSERT_TRUE(at.feed(frame(ControlKind::close, 1)));
        } else {
          at.machine.close(channel);
        }
        EXPECT_EQ(half_out->times, 1);
        EXPECT_EQ(half_out->result, errc::channel_closed);
        EXPECT_FALSE(beside.result);
        half_out.reset();  // its sender goes on, and the payload is gone
        stream = stream + at.output();
        EXPECT_EQ(beside.result, boost::system::error_code());
        ASSERT_TRUE(peer.feed(stream)) << peer.machine.failure();
        EXPECT_FALSE(peer.machine.mid_frame());
        EXPECT_THAT(peer.take_all(peer.machine.find(3)), ElementsAre(pattern(5'000)));
      }
}

TEST(Multiplexer, a_send_succeeds_when_both_sides_have_said_that_it_was_the_last) {
  for (const bool peer_first : {false, true}) {
    Machine at(Side::controller, limits::window);
    const auto channel = at.machine.open();
    Send last(ItemKind::bytes, pattern(100'000));
    at.machine.send(channel, last);
    if (peer_first) {
      ASSERT_TRUE(at.feed(frame(ControlKind::last_message, 1)));
    }
    at.machine.last_message(*channel);
    std::array<iovec, 16> room;
    (void)at.machine.gather(room);
    if (!peer_first) {
      ASSERT_TRUE(at.feed(frame(ControlKind::last_message, 1)));
    }
    EXPECT_TRUE(channel->closed);
    EXPECT_FALSE(last.result);
    (void)at.output();
    EXPECT_EQ(last.result, boost::system::error_code());
    EXPECT_EQ(last.times, 1);
  }
}

TEST(Multiplexer, send_on_a_closed_channel_fails) {
  Machine at(Side::controller, window);
  const auto channel = at.machine.open();
  ASSERT_TRUE(at.feed(frame(ControlKind::close, 1)));
  (void)at.output();
  EXPECT_FALSE(at.machine.send_now(*channel, ItemKind::bytes, pattern(5).span()));
  Send item(ItemKind::bytes, pattern(5));
  at.machine.send(channel, item);
  EXPECT_EQ(*item.result, errc::channel_closed);
  EXPECT_TRUE(at.output().empty());
}

TEST(Multiplexer, the_end_of_the_connection_ends_every_send_once) {
  Machine at(Side::controller, window);
  const auto a = at.machine.open(), b = at.machine.open();
  Send in_queue(ItemKind::bytes, pattern(2000)), waiting(ItemKind::bytes, pattern(9000)),
      behind(ItemKind::bytes, pattern(1));
  Send begun(ItemKind::bytes, pattern(9000));
  at.machine.send(a, in_queue);
  at.machine.send(a, waiting);
  at.machine.send(a, behind);
  at.machine.send(b, begun);
  std::array<iovec, 8> room;
  (void)at.machine.gather(room);
  (void)at.output(5);
  at.machine.fail(errc::terminated);
  at.machine.fail(errc::connection_lost);
  for (const Send* send : {&waiting, &behind, &begun}) {
    EXPECT_EQ(send->times, 1);
    EXPECT_EQ(*send->result, errc::terminated);
  }
  EXPECT_EQ(in_queue.times, 1);
  EXPECT_THAT(at.events, ::testing::UnorderedElementsAre("end 1", "end 3"));
  EXPECT_FALSE(at.machine.has_output());
  EXPECT_THROW((void)at.machine.open(), ChannelClosed);
  at.machine.close(a);
  at.machine.ping(1);
  EXPECT_TRUE(at.output().empty());
}

// --- order on the wire

TEST(Multiplexer, control_frames_go_ahead_of_waiting_items) {
  Machine at(Side::controller, limits::window);
  const auto channel = at.machine.open();
  Send large(ItemKind::bytes, pattern(8 << 20));
  at.machine.send(channel, large);
  (void)at.output(1 << 20);
  at.machine.ping(5);
  at.machine.request_status(6);
  const auto second = at.machine.open();
  std::size_t before = 0;
  const Bytes rest = at.output();
  for (const Bytes& wanted : {frame(ControlKind::ping, 0, number(5)), frame(ControlKind::status, 0, number(6)),
                              frame(ControlKind::open, second->id)}) {
    const std::size_t found = rest.view().find(wanted.view());
    ASSERT_NE(found, std::string_view::npos);
    EXPECT_GT(found + 1, before);
    before = found;
  }
  EXPECT_LT(before, 256 * 1024U);  // what was cut into frames already
}

TEST(Multiplexer, no_more_than_the_limit_stands_before_a_control_frame) {
  Machine at(Side::controller, limits::window);
  at.machine.limit_ahead(4096);
  const auto channel = at.machine.open();
  Send large(ItemKind::bytes, pattern(1 << 20));
  at.machine.send(channel, large);
  (void)at.output(50'000);
  at.machine.ping(5);
  const Bytes rest = at.output();
  EXPECT_LT(rest.view().find(frame(ControlKind::ping, 0, number(5)).view()), 2 * 4096U);
}

TEST(Multiplexer, OPEN_comes_before_the_first_item_however_it_is_sent) {
  Machine at(Side::controller, window);
  const auto a = at.machine.open();
  ASSERT_TRUE(at.machine.send_now(*a, ItemKind::exec, pattern(5).span()));
  const auto b = at.machine.open();
  Send item(ItemKind::bytes, pattern(5));
  at.machine.send(b, item);
  const auto c = at.machine.open();
  at.machine.close(c);
  EXPECT_THAT(at.frames(),
              ElementsAre("OPEN 1", "EXEC whole 1, 5 bytes", "OPEN 3", "OPEN 5", "CLOSE 5", "BYTES whole 3, 5 bytes"));
}

TEST(Multiplexer, items_of_a_channel_keep_their_order_however_they_are_sent) {
  Machine at(Side::controller, limits::window);
  const auto channel = at.machine.open();
  Send large(ItemKind::bytes, pattern(300'000));
  at.machine.send(channel, large);
  EXPECT_FALSE(at.machine.send_now(*channel, ItemKind::bytes, pattern(5).span()));
  (void)at.output();
  EXPECT_TRUE(at.machine.send_now(*channel, ItemKind::bytes, pattern(5).span()));
}

TEST(Multiplexer, interrupts_and_terminates_on_request) {
  Machine at(Side::controller);
  const auto channel = at.machine.open();
  at.machine.interrupt(*channel);
  at.machine.terminate();
  at.machine.hello(pattern(3).span());
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "INTERRUPT 1", "TERMINATE", "HELLO, 3 bytes"));
}

TEST(Multiplexer, STATUS_is_answered_with_its_number) {
  Machine agent(Side::agent);
  ASSERT_TRUE(agent.feed(frame(ControlKind::status, 0, number(77))));
  EXPECT_EQ(agent.output(), frame(ControlKind::status_reply, 0, number(77) + bytes_of("reply")));
}

}  // namespace
}  // namespace gangway::testing
