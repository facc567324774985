// Windows, credit and turns: two machines coupled by hand. Rows D7, E4, E5 and E12, and
// guarantee G3.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <gangway/error.hpp>

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <random>

#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// --- one machine

TEST(FlowControl, a_peer_that_sends_beyond_its_credit_is_stopped) {
  for (const Side side : {Side::controller, Side::agent}) {
    const auto after = [&](const std::vector<Bytes>& frames) {
      Machine at(side, 1024);
      const std::uint32_t id = at.machine.open()->id;
      for (const Bytes& payload : frames)
        if (!at.feed(item(ItemKind::bytes, id, payload))) return at.machine.failure();
      return std::string();
    };
    EXPECT_EQ(after({pattern(1024 - 32)}), "");
    EXPECT_THAT(after({pattern(1024 - 31)}), HasSubstr("beyond its credit"));
    EXPECT_EQ(after({pattern(480), pattern(480)}), "");
    EXPECT_THAT(after({pattern(480), pattern(481)}), HasSubstr("beyond its credit"));
    // Empty items take memory, too.
    EXPECT_EQ(after(std::vector<Bytes>(32)), "");
    EXPECT_THAT(after(std::vector<Bytes>(33)), HasSubstr("beyond its credit"));
  }
}

TEST(FlowControl, an_item_of_max_item_is_taken_and_one_byte_more_is_not) {
  Machine::Settings settings = Machine::settings_of(Side::controller, 64 * 1024);
  settings.max_item = 4096;
  for (const auto& [size, taken] : {std::pair<std::size_t, bool>{4096, true}, {4097, false}}) {
    Machine whole(settings), split(settings);
    (void)whole.machine.open();
    (void)split.machine.open();
    EXPECT_EQ(whole.feed(item(ItemKind::str, 1, pattern(size))), taken);
    EXPECT_EQ(split.feed(begin(ItemKind::str, 1, size, pattern(100))), taken);
    if (taken) {
      EXPECT_TRUE(split.feed(item(ItemKind::str, 1, pattern(size - 100), Part::end)));
    }
    EXPECT_EQ(whole.machine.failure().empty(), taken);
  }
}

TEST(FlowControl, memory_is_taken_as_bytes_arrive_and_not_as_they_are_announced) {
  Machine at(Machine::settings_of(Side::controller, 0));
  const auto channel = at.machine.open();
  ASSERT_TRUE(at.feed(begin(ItemKind::bytes, 1, limits::item, pattern(1000))));
  EXPECT_LE(channel->assembly->payload.capacity(), 8192U);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(at.feed(item(ItemKind::bytes, 1, pattern(65'536), Part::middle)));
    ASSERT_LE(channel->assembly->payload.capacity(), 2 * channel->assembly->payload.size() + limits::frame_accepted);
  }
  ASSERT_FALSE(at.feed(begin(ItemKind::bytes, 1, limits::item + 1, pattern(1))));
}

TEST(FlowControl, what_is_taken_is_given_back_in_quarters_of_the_window) {
  Machine at(Side::controller, 1024);
  const auto channel = at.machine.open();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(at.feed(item(ItemKind::bytes, 1, pattern(68))));
  (void)at.output();
  ASSERT_TRUE(at.machine.take(*channel));  // 100
  ASSERT_TRUE(at.machine.take(*channel));  // 200
  EXPECT_FALSE(at.machine.has_control());
  ASSERT_TRUE(at.machine.take(*channel));  // 300 of 1024
  EXPECT_THAT(at.frames(), ElementsAre("CREDIT 1 = 300"));
  (void)at.take_all(channel);
  EXPECT_THAT(at.frames(), ElementsAre("CREDIT 1 = 300"));
}

// As many CREDIT frames as a peer can provoke would be memory of its choice.
TEST(FlowControl, credit_that_the_peer_does_not_read_is_one_frame) {
  Machine at(Side::controller, 1024);
  (void)at.machine.open();
  (void)at.output();
  ASSERT_TRUE(at.feed(begin(ItemKind::bytes, 1, 1 << 30, pattern(900))));
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(at.feed(item(ItemKind::bytes, 1, pattern(700), Part::middle)));
  EXPECT_LT(at.machine.queued(), 100U);
  EXPECT_THAT(at.frames(), SizeIs(1));
}

TEST(FlowControl, no_credit_is_sent_for_a_channel_that_was_closed_meanwhile) {
  Machine at(Side::controller, 1024);
  const auto channel = at.machine.open();
  ASSERT_TRUE(at.feed(item(ItemKind::bytes, 1, pattern(900))));
  (void)at.take_all(channel);
  at.machine.close(channel);
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "CLOSE 1"));
}

TEST(FlowControl, a_sender_stops_at_its_window_and_goes_on_with_credit) {
  Machine at(Side::controller, 1024);
  const auto channel = at.machine.open();
  Send item(ItemKind::bytes, pattern(3000));
  at.machine.send(channel, item);
  EXPECT_THAT(at.frames(), ElementsAre("OPEN 1", "BYTES begin 1, 992 bytes"));
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(1))));
  EXPECT_THAT(at.frames(), ElementsAre("BYTES middle 1, 1 bytes"));
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(1024))));
  EXPECT_THAT(at.frames(), ElementsAre("BYTES middle 1, 1024 bytes"));
  ASSERT_TRUE(at.feed(frame(ControlKind::credit, 1, number(1000))));
  EXPECT_THAT(at.frames(), ElementsAre("BYTES end 1, 991 bytes"));
  EXPECT_EQ(item.times, 1);
}

TEST(FlowControl, what_fits_exactly_goes_out) {
  for (const std::size_t size : {0UL, 1UL, 8UL, 100UL}) {
    Machine at(Side::controller, 1024);
    const auto channel = at.machine.open();
    const std::size_t left = size + 32;
    Send fills(ItemKind::bytes, pattern(1024 - left - 32)), fits(ItemKind::pickle, pattern(size)),
        late(ItemKind::bytes, {});
    at.machine.send(channel, fills);
    at.machine.send(channel, fits);
    at.machine.send(channel, late);
    (void)at.output();
    EXPECT_EQ(fits.times, 1) << size;
    EXPECT_EQ(late.times, 0) << size;
    EXPECT_EQ(channel->credit, 0U);
  }
}

TEST(FlowControl, an_INT_is_never_cut) {
  for (std::size_t left = 0; left < 50; ++left) {
    Machine at(Side::controller, 1024);
    const auto channel = at.machine.open();
    Send fills(ItemKind::bytes, pattern(1024 - left - 32)), integer(ItemKind::integer, number(7));
    at.machine.send(channel, fills);
    at.machine.send(channel, integer);
    (void)at.output();
    EXPECT_EQ(integer.times, left >= 40 ? 1 : 0) << left;
    EXPECT_FALSE(integer.begun && integer.cut < 8);
  }
}

TEST(FlowControl, without_a_window_nothing_stops_a_sender) {
  Machine controller(Machine::settings_of(Side::controller, 0)), agent(Machine::settings_of(Side::agent, 0));
  const auto channel = controller.machine.open();
  Send item(ItemKind::bytes, pattern(5'000'000));
  controller.machine.send(channel, item);
  ASSERT_TRUE(agent.feed(controller.output()));
  EXPECT_EQ(item.times, 1);
  const auto there = agent.machine.find(1);
  EXPECT_THAT(agent.take_all(there), ElementsAre(pattern(5'000'000)));
  EXPECT_TRUE(agent.output().empty());
}

// Row E4.
TEST(FlowControl, a_channel_that_is_not_read_does_not_stop_the_others) {
  Machine controller(Side::controller, 4096), agent(Side::agent, 4096);
  const auto unread = agent.machine.open(), read = agent.machine.open();
  ASSERT_TRUE(controller.feed(agent.output()));
  std::list<Send> sends;
  for (int i = 0; i < 200; ++i) {
    agent.machine.send(unread, sends.emplace_back(ItemKind::bytes, pattern(500)));
    agent.machine.send(read, sends.emplace_back(ItemKind::bytes, pattern(500)));
  }
  std::size_t taken = 0;
  for (int round = 0; round < 200; ++round) {
    ASSERT_TRUE(controller.feed(agent.output()));
    taken += controller.take_all(controller.machine.find(4)).size();
    ASSERT_TRUE(agent.feed(controller.output()));
  }
  EXPECT_EQ(taken, 200U);
  EXPECT_LE(controller.machine.find(2)->arrived.size(), 4096U / 532);
}

// --- turns

double fairness(const std::map<std::uint32_t, double>& shares) {  // Jain's index
  double sum = 0, squares = 0;
  for (const auto& [id, share] : shares) {
    sum += share;
    squares += share * share;
  }
  return sum * sum / (static_cast<double>(shares.size()) * squares);
}

TEST(FlowControl, ten_channels_with_endless_data_take_turns) {
  Machine at(Side::controller, limits::window);
  std::list<Send> sends;
  for (int i = 0; i < 10; ++i)
    at.machine.send(at.machine.open(), sends.emplace_back(ItemKind::bytes, pattern(8 << 20)));
  std::map<std::uint32_t, double> bytes;
  for (const Frame& each : cut(at.output(20 << 20).span()))
    if (each.header.is_item()) bytes[each.header.channel] += static_cast<double>(each.payload.size());
  EXPECT_EQ(bytes.size(), 10U);
  EXPECT_GT(fairness(bytes), 0.99);
}

// Row E12: what has a million small items to send gets as many turns as what has large ones.
TEST(FlowControl, small_items_and_large_ones_take_turns_and_control_is_not_starved) {
  Machine controller(Side::controller, 256 * 1024), agent(Side::agent, 256 * 1024);
  std::list<Send> sends;
  std::vector<Multiplexer::ChannelPtr> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(agent.machine.open());
  ASSERT_TRUE(controller.feed(agent.output()));
  std::map<std::uint32_t, double> frames;
  std::size_t controls_late = 0;
  for (int round = 0; round < 2000; ++round) {
    for (std::size_t i = 0; i < channels.size(); ++i)
      while (channels[i]->outgoing.size() < 20)
        agent.machine.send(channels[i], sends.emplace_back(ItemKind::bytes, pattern(i % 2 == 0 ? 8 : 50'000)));
    const bool asked = round % 50 == 0;
    if (asked) {
      ASSERT_TRUE(agent.feed(frame(ControlKind::ping, 0, number(static_cast<std::uint64_t>(round)))));
      controller.events.clear();
    }
    std::size_t passed = 0;
    for (const Frame& each : cut(agent.output().span())) {
      passed += each.payload.size();
      if (each.header.is_item()) ++frames[each.header.channel];
      if (each.header.kind == static_cast<std::uint8_t>(ControlKind::pong) && passed > 512 * 1024) ++controls_late;
      ASSERT_TRUE(controller.feed(frame(each.header.kind, each.header.channel, each.payload)));
    }
    for (const auto& channel : controller.machine.channels()) (void)controller.take_all(channel);
    ASSERT_TRUE(agent.feed(controller.output()));
    std::erase_if(sends, [](const Send& send) { return send.times > 0; });
    if (round == 20) frames.clear();
  }
  EXPECT_EQ(controls_late, 0U);
  std::map<std::uint32_t, double> small, large;
  for (const auto& [id, count] : frames) (id / 2 % 2 == 1 ? small : large)[id] = count;
  EXPECT_GT(fairness(small), 0.9);
  EXPECT_GT(fairness(large), 0.9);
  for (const auto& channel : channels) agent.machine.close(channel);
}

// --- two machines, whatever they do

class Pair {
 public:
  Pair(std::uint64_t window, std::uint32_t seed)
      : window_(window),
        random_(seed),
        machines_{std::make_unique<Machine>(Side::controller, window), std::make_unique<Machine>(Side::agent, window)} {
  }

  ~Pair() {
    for (const auto& machine : machines_) machine->machine.fail(errc::terminated);
  }

  void run(int channels, int items, std::size_t largest) {
    for (int i = 0; i < channels; ++i) (void)machines_[static_cast<std::size_t>(i % 2)]->machine.open();
    flush();
    ASSERT_EQ(machines_[0]->machine.live(), static_cast<std::size_t>(channels));
    ids_ = [&] {
      std::vector<std::uint32_t> ids;
      for (const auto& channel : machines_[0]->machine.channels()) ids.push_back(channel->id);
      return ids;
    }();
    largest_ = largest;
    left_ = items;
    while (left_ > 0) {
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    // Nothing more to send: what waits must arrive when its receivers take what there is.
    for (int idle = 0; pending() > 0; ++idle) {
      if (flush() + take(1) > 0) idle = 0;
      ASSERT_LT(idle, 3) << "deadlock: " << pending() << " items have not arrived, window " << window_;
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  using Key = std::pair<std::size_t, std::uint32_t>;  // the receiving side, the channel

  std::size_t any(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  void step() {
    switch (any(6)) {
      case 0: send(); break;
      case 1:
      case 2: move(any(2), 1 + any(3) * any(70'000)); break;
      case 3: take_one(any(2), ids_[any(ids_.size())]); break;
      case 4: send(); break;
      default: machines_[any(2)]->machine.ping(1);
    }
  }

  void send() {
    if (left_ == 0) return;
    --left_;
    const std::size_t side = any(2);
    const std::uint32_t id = ids_[any(ids_.size())];
    const std::size_t size = any(3) == 0 ? any(50) : any(4) == 0 ? largest_ : any(largest_ + 1);
    const ItemKind kind = size == 8 && any(2) == 0 ? ItemKind::integer : ItemKind::bytes;
    const Bytes payload = pattern(size, any(1000));
    expected_[{1 - side, id}].push_back(payload);
    Machine& from = *machines_[side];
    const auto channel = from.machine.find(id);
    if (any(2) == 0 && from.machine.send_now(*channel, kind, payload.span())) return;
    from.machine.send(channel, sends_.emplace_back(kind, payload));
  }

  std::size_t move(std::size_t from, std::size_t most) {
    const Bytes bytes = machines_[from]->output(most);
    std::span<const std::byte> rest = bytes.span();
    while (!rest.empty()) {
      const auto piece = rest.first(std::min<std::size_t>(rest.size(), 1 + any(100'000)));
      if (!machines_[1 - from]->machine.feed(piece)) {
        ADD_FAILURE() << machines_[1 - from]->machine.failure();
        left_ = 0;
        return 0;
      }
      rest = rest.subspan(piece.size());
      check(1 - from);
    }
    return bytes.size();
  }

  std::size_t flush() {
    std::size_t moved = 0;
    while (const std::size_t now = move(0, 1 << 20) + move(1, 1 << 20)) moved += now;
    return moved;
  }

  bool take_one(std::size_t side, std::uint32_t id) {
    Machine& at = *machines_[side];
    auto one = at.machine.take(*at.machine.find(id));
    if (!one) return false;
    auto& expected = expected_[{side, id}];
    EXPECT_FALSE(expected.empty());
    const Bytes payload =
        one->kind == ItemKind::integer ? number(static_cast<std::uint64_t>(one->integer)) : std::move(one->payload);
    EXPECT_EQ(payload, expected.front()) << "an item that was not sent like this";
    expected.pop_front();
    return true;
  }

  std::size_t take(std::size_t each) {
    std::size_t taken = 0;
    for (const std::size_t side : {0U, 1U})
      for (const std::uint32_t id : ids_)
        for (std::size_t i = 0; i < each; ++i) taken += take_one(side, id) ? 1 : 0;
    return taken;
  }

  std::size_t pending() const {
    std::size_t count = 0;
    for (const auto& [key, items] : expected_) count += items.size();
    return count;
  }

  // Guarantee G3: the window, and the item that is arriving.
  void check(std::size_t side) {
    for (const auto& channel : machines_[side]->machine.channels()) {
      std::uint64_t waiting = 0;
      for (const auto& one : channel->arrived) waiting += one.payload.size() + 32;
      const std::uint64_t largest = std::max<std::uint64_t>(largest_, 64);
      ASSERT_LE(waiting + (channel->assembly ? channel->assembly->payload.size() : 0), window_ + largest + 32);
      ASSERT_LE(channel->allowance, window_);
      ASSERT_LE(channel->credit, window_);
    }
  }

  const std::uint64_t window_;
  std::mt19937 random_;
  std::unique_ptr<Machine> machines_[2];
  std::vector<std::uint32_t> ids_;
  std::list<Send> sends_;
  std::map<Key, std::deque<Bytes>> expected_;
  std::size_t largest_ = 0;
  int left_ = 0;
};

TEST(FlowControl, never_deadlocks_and_never_holds_more_than_the_window_and_an_item) {
  std::uint32_t seed = 0;
  for (const std::uint64_t window : {1024U, 1025U, 1500U, 4096U, 65'536U, 100'000U, 16U * 1024 * 1024}) {
    for (const std::size_t largest :
         {std::size_t{8}, std::size_t{40}, static_cast<std::size_t>(window / 2), static_cast<std::size_t>(window - 32),
          static_cast<std::size_t>(window + 1), static_cast<std::size_t>(5 * window)}) {
      const std::size_t size = std::min<std::size_t>(largest, 2 << 20);
      const int items = size > 100'000 ? 40 : 400;
      for (int round = 0; round < (size > 100'000 ? 2 : 6); ++round) {
        SCOPED_TRACE("window " + std::to_string(window) + ", items of up to " + std::to_string(size) + ", seed " +
                     std::to_string(seed));
        Pair(window, seed++).run(1 + round, items, size);
        if (HasFailure()) return;
      }
    }
  }
}

TEST(FlowControl, any_window_between_goes_as_well) {
  std::mt19937 random(99);
  for (std::uint32_t round = 0; round < 60; ++round) {
    const std::uint64_t window = limits::window_least + random() % 20'000;
    const std::size_t largest = random() % 60'000;
    SCOPED_TRACE("window " + std::to_string(window) + ", items of up to " + std::to_string(largest));
    Pair(window, round).run(1 + static_cast<int>(random() % 5), 150, largest);
    if (HasFailure()) return;
  }
}

// Row E5: both send and nobody takes.
TEST(FlowControl, when_nobody_receives_the_windows_fill_and_control_still_flows) {
  Machine controller(Side::controller, 1 << 20), agent(Side::agent, 1 << 20);
  const auto here = controller.machine.open();
  ASSERT_TRUE(agent.feed(controller.output()));
  const auto there = agent.machine.find(1);
  std::list<Send> sends;
  for (int i = 0; i < 64; ++i) {
    controller.machine.send(here, sends.emplace_back(ItemKind::bytes, pattern(100'000)));
    agent.machine.send(there, sends.emplace_back(ItemKind::bytes, pattern(100'000)));
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(agent.feed(controller.output(100'000)));
    ASSERT_TRUE(controller.feed(agent.output(100'000)));
  }
  EXPECT_LE(here->arrived.size(), 11U);
  EXPECT_TRUE(controller.output().empty());
  controller.machine.ping(9);
  ASSERT_TRUE(agent.feed(controller.output()));
  ASSERT_TRUE(controller.feed(agent.output()));
  EXPECT_EQ(controller.events.back(), "pong 9");
  controller.machine.terminate();
  ASSERT_TRUE(agent.feed(controller.output()));
  EXPECT_EQ(agent.events.back(), "terminate");
  controller.machine.fail(errc::terminated);
  agent.machine.fail(errc::terminated);
}

}  // namespace
}  // namespace gangway::testing
