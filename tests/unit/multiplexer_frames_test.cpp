// The rules of wire.md about single frames, one by one: which are taken, and what a peer is
// told that breaks them. Rows D2 to D6, D17 and D18 of the fault catalogue.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include <gangway/error.hpp>

#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The same row for both sides.
void both(std::vector<FrameRow>& table, const char* what, const std::function<Bytes(const Ids&)>& frames,
          const char* failure, const std::function<std::vector<std::string>(const Ids&)>& events = {}) {
  for (const Side side : {Side::controller, Side::agent})
    table.push_back(
        {what, side, frames(ids_of(side)), failure, events ? events(ids_of(side)) : std::vector<std::string>{}});
}

std::string on(const char* what, std::uint32_t id) { return std::string(what) + " " + std::to_string(id); }

TEST(Frames, kinds_of_control_frames) {
  std::vector<FrameRow> table;
  // Every kind that nobody has defined, in the classes where that is a mistake.
  for (unsigned kind = 0x50; kind < 0x80; ++kind)
    both(
        table, "unknown control kind",
        [kind](const Ids& ids) { return frame(static_cast<std::uint8_t>(kind), ids.own); }, "unknown control frame");
  for (unsigned kind = 0x81; kind <= 0xff; ++kind)
    both(
        table, "optional kind, skipped with its payload",
        [kind](const Ids&) {
          return frame(static_cast<std::uint8_t>(kind), 77, pattern(kind * 7)) +
                 frame(ControlKind::pong, 0, number(kind));
        },
        "", [kind](const Ids&) { return std::vector{"pong " + std::to_string(kind)}; });
  check_frames(table);
}

TEST(Frames, kinds_of_item_frames) {
  std::vector<FrameRow> table;
  for (unsigned kind = 0; kind < 0x40; ++kind) {
    const unsigned tag = kind & 0x0fU;
    if (tag >= 1 && tag <= 5) continue;
    both(
        table, "unknown tag",
        [kind](const Ids& ids) { return frame(static_cast<std::uint8_t>(kind), ids.own, pattern(16)); },
        "unknown item tag");
  }
  for (const ItemKind kind : {ItemKind::pickle, ItemKind::bytes, ItemKind::str, ItemKind::integer})
    both(
        table, "known tag", [kind](const Ids& ids) { return item(kind, ids.own, pattern(8)); }, "",
        [](const Ids& ids) { return std::vector{on("item", ids.own)}; });
  for (const ItemKind kind : {ItemKind::pickle, ItemKind::bytes, ItemKind::str})
    both(
        table, "empty item", [kind](const Ids& ids) { return item(kind, ids.own, {}); }, "",
        [](const Ids& ids) { return std::vector{on("item", ids.own)}; });
  check_frames(table);
}

TEST(Frames, frames_of_the_connection) {
  std::vector<FrameRow> table;
  for (const ControlKind kind : {ControlKind::hello, ControlKind::terminate, ControlKind::ping, ControlKind::pong,
                                 ControlKind::status, ControlKind::status_reply})
    both(
        table, "with a channel id", [kind](const Ids& ids) { return frame(kind, ids.own, number(1)); },
        "with a channel id");
  both(
      table, "second HELLO", [](const Ids&) { return frame(ControlKind::hello); }, "second HELLO");
  for (const std::size_t size : {0UL, 7UL, 9UL, 16UL}) {
    both(
        table, "PING of another size", [size](const Ids&) { return frame(ControlKind::ping, 0, pattern(size)); },
        "8 bytes");
    both(
        table, "PONG of another size", [size](const Ids&) { return frame(ControlKind::pong, 0, pattern(size)); },
        "8 bytes");
    table.push_back(
        {"STATUS of another size", Side::agent, frame(ControlKind::status, 0, pattern(size)), "not 8 bytes", {}});
  }
  for (const std::size_t size : {0UL, 7UL})
    table.push_back({"STATUS_REPLY too short",
                     Side::controller,
                     frame(ControlKind::status_reply, 0, pattern(size)),
                     "too short",
                     {}});
  table.push_back(
      {"TERMINATE with a payload", Side::agent, frame(ControlKind::terminate, 0, pattern(1)), "TERMINATE", {}});

  // In the wrong direction.
  table.push_back({"TERMINATE", Side::controller, frame(ControlKind::terminate), "TERMINATE from the agent", {}});
  table.push_back({"STATUS", Side::controller, frame(ControlKind::status, 0, number(1)), "STATUS from the agent", {}});
  table.push_back(
      {"STATUS_REPLY", Side::agent, frame(ControlKind::status_reply, 0, number(1)), "STATUS_REPLY to an agent", {}});

  table.push_back({"TERMINATE", Side::agent, frame(ControlKind::terminate), "", {"terminate"}});
  table.push_back({"STATUS", Side::agent, frame(ControlKind::status, 0, number(9)), "", {"status 9"}});
  table.push_back({"STATUS_REPLY",
                   Side::controller,
                   frame(ControlKind::status_reply, 0, number(9) + bytes_of("dict")),
                   "",
                   {"status_reply 9 dict"}});
  both(
      table, "PING", [](const Ids&) { return frame(ControlKind::ping, 0, number(3)); }, "");
  check_frames(table);
}

TEST(Frames, frames_of_channels) {
  std::vector<FrameRow> table;
  const std::pair<ControlKind, Bytes> kinds[] = {
      {ControlKind::credit, number(1)},
      {ControlKind::close, {}},
      {ControlKind::close_error, bytes_of("text")},
      {ControlKind::last_message, {}},
  };
  for (const auto& [kind, payload] : kinds) {
    const auto for_id = [&kind = kind, &payload = payload](std::uint32_t Ids::*id) {
      return [kind, payload, id](const Ids& ids) { return frame(kind, ids.*id, payload); };
    };
    both(table, "own, never opened", for_id(&Ids::own_never), "never opened");
    both(table, "of the peer, never opened", for_id(&Ids::peer_never), "never opened");
    both(table, "own, closed", for_id(&Ids::own_closed), "");
    both(table, "of the peer, closed", for_id(&Ids::peer_closed), "");
    both(
        table, "without a channel", [&kind = kind, &payload = payload](const Ids&) { return frame(kind, 0, payload); },
        "never opened");
  }
  for (const auto id : {&Ids::own, &Ids::peer}) {
    const auto ends = [id](const Ids& ids) { return std::vector{on("end", ids.*id)}; };
    both(
        table, "CLOSE", [id](const Ids& ids) { return frame(ControlKind::close, ids.*id); }, "", ends);
    both(
        table, "CLOSE twice",
        [id](const Ids& ids) { return frame(ControlKind::close, ids.*id) + frame(ControlKind::close, ids.*id); }, "",
        ends);
    both(
        table, "CLOSE_ERROR",
        [id](const Ids& ids) { return frame(ControlKind::close_error, ids.*id, bytes_of("why")); }, "", ends);
    both(
        table, "LAST_MESSAGE", [id](const Ids& ids) { return frame(ControlKind::last_message, ids.*id); }, "", ends);
    both(
        table, "item after LAST_MESSAGE",
        [id](const Ids& ids) { return frame(ControlKind::last_message, ids.*id) + item(ItemKind::bytes, ids.*id, {}); },
        "after LAST_MESSAGE");
    both(
        table, "item after CLOSE, dropped",
        [id](const Ids& ids) {
          return frame(ControlKind::close, ids.*id) + item(ItemKind::bytes, ids.*id, pattern(60'000));
        },
        "", ends);
  }
  for (const ControlKind kind :
       {ControlKind::close, ControlKind::last_message, ControlKind::interrupt, ControlKind::open})
    both(
        table, "with a payload", [kind](const Ids& ids) { return frame(kind, ids.own, pattern(1)); }, "payload");
  table.push_back({"INTERRUPT", Side::controller, frame(ControlKind::interrupt, 1), "INTERRUPT from the agent", {}});
  table.push_back({"INTERRUPT", Side::agent, frame(ControlKind::interrupt, 3), "", {"interrupt 3"}});
  table.push_back({"INTERRUPT of a closed one", Side::agent, frame(ControlKind::interrupt, 1), "", {"interrupt 1"}});
  check_frames(table);
}

TEST(Frames, error_texts) {
  std::vector<FrameRow> table;
  const auto text = [](std::size_t size) { return Bytes(std::string(size, 'e')); };
  both(
      table, "empty", [&](const Ids& ids) { return frame(ControlKind::close_error, ids.own); }, "",
      [](const Ids& ids) { return std::vector{on("end", ids.own)}; });
  both(
      table, "at the limit",
      [&](const Ids& ids) { return frame(ControlKind::close_error, ids.own, text(limits::error_text)); }, "",
      [](const Ids& ids) { return std::vector{on("end", ids.own)}; });
  both(
      table, "over it",
      [&](const Ids& ids) { return frame(ControlKind::close_error, ids.own, text(limits::error_text + 1)); },
      "error text over 65536");
  both(
      table, "over it, of a closed channel",
      [&](const Ids& ids) { return frame(ControlKind::close_error, ids.own_closed, text(limits::error_text + 1)); },
      "error text over 65536");
  for (const char* bad : {"\xff", "\xc3", "ok\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xc0\x80"})
    both(
        table, "not UTF-8", [bad](const Ids& ids) { return frame(ControlKind::close_error, ids.own, bytes_of(bad)); },
        "not UTF-8");
  check_frames(table);
}

TEST(Frames, ids_of_channels) {
  std::vector<FrameRow> table;
  both(
      table, "OPEN of 0", [](const Ids&) { return frame(ControlKind::open, 0); }, "OPEN of channel 0");
  both(
      table, "OPEN of our parity", [](const Ids& ids) { return frame(ControlKind::open, ids.own_never); },
      "OPEN of channel");
  both(
      table, "OPEN of one that is open", [](const Ids& ids) { return frame(ControlKind::open, ids.peer); },
      "OPEN of channel");
  both(
      table, "OPEN of one that was open", [](const Ids& ids) { return frame(ControlKind::open, ids.peer_closed); },
      "OPEN of channel");
  both(
      table, "OPEN of the next", [](const Ids& ids) { return frame(ControlKind::open, ids.peer_never); }, "",
      [](const Ids& ids) { return std::vector{on("open", ids.peer_never)}; });
  both(
      table, "OPEN of one far above",
      [](const Ids& ids) { return frame(ControlKind::open, ids.peer_never + 0xfffffff0U); }, "",
      [](const Ids& ids) { return std::vector{on("open", ids.peer_never + 0xfffffff0U)}; });
  for (const auto id : {&Ids::own_never, &Ids::peer_never})
    both(
        table, "item, never opened", [id](const Ids& ids) { return item(ItemKind::bytes, ids.*id, pattern(4)); },
        "never opened");
  both(
      table, "item without a channel", [](const Ids&) { return item(ItemKind::bytes, 0, pattern(4)); }, "never opened");
  for (const auto id : {&Ids::own_closed, &Ids::peer_closed}) {
    both(
        table, "item, closed: dropped",
        [id](const Ids& ids) { return item(ItemKind::bytes, ids.*id, pattern(200'000)); }, "");
    both(
        table, "middle of an item, closed: dropped",
        [id](const Ids& ids) { return item(ItemKind::bytes, ids.*id, pattern(5), Part::middle); }, "");
  }
  check_frames(table);
}

TEST(Frames, fragments_of_items) {
  std::vector<FrameRow> table;
  const ItemKind b = ItemKind::bytes;
  const auto row = [&](const char* what, const std::function<Bytes(std::uint32_t)>& frames, const char* failure) {
    both(
        table, what, [frames](const Ids& ids) { return frames(ids.own); }, failure,
        [](const Ids& ids) { return std::vector{on("item", ids.own)}; });
  };
  using Id = std::uint32_t;
  const auto p = [](std::size_t size) { return pattern(size); };

  row(
      "begin, end", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(6), Part::end); }, "");
  row(
      "begin, middle, end",
      [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(1), Part::middle) + item(b, id, p(5), Part::end); },
      "");
  row(
      "with other frames between",
      [&](Id id) { return begin(b, id, 10, p(4)) + frame(0x81, id, p(9)) + item(b, id, p(6), Part::end); }, "");
  row(
      "EXEC in fragments, on an own channel", [&](Id id) { return begin(ItemKind::exec, id, 10, p(4)); }, "EXEC");

  row(
      "a middle first", [&](Id id) { return item(b, id, p(4), Part::middle); }, "without a beginning");
  row(
      "an end first", [&](Id id) { return item(b, id, p(4), Part::end); }, "without a beginning");
  row(
      "an end after a whole one", [&](Id id) { return item(b, id, p(4)) + item(b, id, p(4), Part::end); },
      "without a beginning");
  row(
      "begin twice", [&](Id id) { return begin(b, id, 10, p(4)) + begin(b, id, 10, p(4)); }, "begins inside another");
  row(
      "a whole one inside", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(4)); }, "begins inside another");
  row(
      "a whole INT inside", [&](Id id) { return begin(b, id, 10, p(4)) + item(ItemKind::integer, id, p(8)); },
      "begins inside another");
  row(
      "another tag in the middle",
      [&](Id id) { return begin(b, id, 10, p(4)) + item(ItemKind::str, id, p(1), Part::middle); }, "changes its tag");
  row(
      "another tag at the end",
      [&](Id id) { return begin(b, id, 10, p(4)) + item(ItemKind::str, id, p(6), Part::end); }, "changes its tag");
  row(
      "an empty middle", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, {}, Part::middle); }, "empty frame");
  row(
      "an empty end", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, {}, Part::end); },
      "shorter than announced");
  row(
      "too short", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(5), Part::end); },
      "shorter than announced");
  row(
      "too long", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(7), Part::end); },
      "longer than announced");
  row(
      "too long in the middle", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(7), Part::middle); },
      "longer than announced");
  row(
      "all in the middle, no end", [&](Id id) { return begin(b, id, 10, p(4)) + item(b, id, p(6), Part::middle); },
      "longer than announced");
  row(
      "all in the beginning", [&](Id id) { return begin(b, id, 4, p(4)); }, "longer than announced");
  row(
      "more than all in the beginning", [&](Id id) { return begin(b, id, 3, p(4)); }, "longer than announced");
  row(
      "a total of 0", [&](Id id) { return begin(b, id, 0, p(4)); }, "longer than announced");
  row(
      "a beginning of nothing", [&](Id id) { return begin(b, id, 10, {}); }, "begins with nothing");
  for (std::size_t size = 0; size < 8; ++size)
    row(
        "a beginning without its total", [&, size](Id id) { return item(b, id, p(size), Part::begin); },
        "begins with nothing");

  // max_item is 4096 here, whatever the peer announces; at that limit: see FlowControl.
  for (const std::uint64_t total :
       {std::uint64_t{4097}, std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0}})
    row(
        "over max_item", [&, total](Id id) { return begin(b, id, total, p(1)); }, "over max_item");

  for (const std::size_t size : {0UL, 1UL, 7UL, 9UL, 1000UL})
    row(
        "INT of another size", [&, size](Id id) { return item(ItemKind::integer, id, p(size)); }, "INT that is not");
  row(
      "INT in fragments", [&](Id id) { return begin(ItemKind::integer, id, 8, p(4)); }, "INT that is not one frame");
  row(
      "INT in fragments, from the middle", [&](Id id) { return item(ItemKind::integer, id, p(4), Part::middle); },
      "without a beginning");
  check_frames(table);
}

TEST(Frames, exec_frames) {
  const Bytes request = bytes_of("request");
  std::vector<FrameRow> table = {
      {"first item", Side::agent, item(ItemKind::exec, 3, request), "", {"exec 3 request"}},
      {"in fragments",
       Side::agent,
       begin(ItemKind::exec, 3, 7, bytes_of("req")) + item(ItemKind::exec, 3, bytes_of("uest"), Part::end),
       "",
       {"exec 3 request"}},
      {"empty", Side::agent, item(ItemKind::exec, 3, {}), "", {"exec 3 "}},
      {"second item",
       Side::agent,
       item(ItemKind::bytes, 3, {}) + item(ItemKind::exec, 3, request),
       "not the first item",
       {}},
      {"twice",
       Side::agent,
       item(ItemKind::exec, 3, request) + item(ItemKind::exec, 3, request),
       "not the first item",
       {}},
      {"on the agent's channel",
       Side::agent,
       item(ItemKind::exec, 2, request),
       "not the first item of a controller's",
       {}},
      {"on a closed channel", Side::agent, item(ItemKind::exec, 1, request), "", {}},
      {"to a controller", Side::controller, item(ItemKind::exec, 1, request), "EXEC from the agent", {}},
      {"to a controller, its own channel",
       Side::controller,
       item(ItemKind::exec, 4, request),
       "EXEC from the agent",
       {}},
  };
  check_frames(table);
  Machine agent(Machine::small(Side::agent));
  open_channels(agent, ids_of(Side::agent));
  ASSERT_TRUE(agent.feed(item(ItemKind::exec, 3, request)));
  EXPECT_TRUE(agent.machine.find(3)->execs);
  EXPECT_TRUE(agent.output().empty());  // its credit goes back with what follows
  ASSERT_TRUE(agent.feed(frame(ControlKind::open, 5) + item(ItemKind::exec, 5, pattern(1000))));
  EXPECT_THAT(agent.frames(), ElementsAre("CREDIT 5 = 1032"));  // nobody else takes it
}

TEST(Frames, credit_frames) {
  std::vector<FrameRow> table;
  both(
      table, "0", [](const Ids& ids) { return frame(ControlKind::credit, ids.own, number(0)); }, "CREDIT of 0");
  for (const std::uint64_t credit :
       {std::uint64_t{1}, Machine::small_window, std::uint64_t{1} << 63, ~std::uint64_t{0}})
    both(
        table, "above the window",
        [credit](const Ids& ids) { return frame(ControlKind::credit, ids.own, number(credit)); }, "above the window");
  for (const std::size_t size : {0UL, 4UL, 7UL, 9UL})
    both(
        table, "not 8 bytes", [size](const Ids& ids) { return frame(ControlKind::credit, ids.own, pattern(size)); },
        "8 bytes");
  check_frames(table);

  for (const auto& [back, taken] : {std::pair{132, true}, std::pair{133, false}}) {
    Machine at(Machine::small(Side::controller));
    const auto channel = at.machine.open();
    ASSERT_TRUE(at.machine.send_now(*channel, ItemKind::bytes, pattern(100).span()));
    EXPECT_EQ(at.feed(frame(ControlKind::credit, 1, number(static_cast<std::uint64_t>(back)))), taken) << back;
  }
}

TEST(Frames, without_a_window_a_CREDIT_is_a_mistake) {
  for (const std::uint32_t id : {1U, 3U}) {  // open, closed
    Machine at(Machine::settings_of(Side::controller, 0));
    (void)at.machine.open();
    at.machine.close(at.machine.open());
    EXPECT_FALSE(at.feed(frame(ControlKind::credit, id, number(1))));
    EXPECT_THAT(at.machine.failure(), HasSubstr("without flow control"));
  }
}

TEST(Frames, nothing_comes_before_HELLO) {
  for (unsigned kind = 0; kind < 256; ++kind) {
    Machine at(Machine::small(Side::agent), Machine::Start::fresh);
    const bool hello = kind == static_cast<unsigned>(ControlKind::hello);
    EXPECT_EQ(at.feed(frame(static_cast<std::uint8_t>(kind), 0)), hello) << kind;
    if (!hello) {
      EXPECT_THAT(at.machine.failure(), HasSubstr("before HELLO"));
    }
  }
}

TEST(Frames, a_HELLO_may_be_refused) {
  Machine at(Machine::small(Side::controller), Machine::Start::fresh);
  at.hello_refused = "wrong version";
  EXPECT_FALSE(at.feed(frame(ControlKind::hello, 0, pattern(10))));
  EXPECT_EQ(at.machine.failure(), "wrong version");
}

TEST(Frames, a_HELLO_may_be_as_long_as_a_frame) {
  Machine at(Machine::small(Side::controller), Machine::Start::fresh);
  EXPECT_TRUE(at.feed(frame(ControlKind::hello, 0, pattern(limits::frame_accepted))));
  EXPECT_THAT(at.events, ElementsAre("hello 262144"));
}

}  // namespace
}  // namespace gangway::testing
