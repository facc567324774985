// spec-docs/wire-session.md is what this test makes of two machines that talk, byte by
// byte. GANGWAY_UPDATE=1 writes the page anew. And row D15: every bit of it, flipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <sstream>

#include <gangway/error.hpp>
#include <gangway/value.hpp>

#include "channels/preamble.hpp"
#include "core/item_codec.hpp"
#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

constexpr std::uint64_t window = 1024;

constexpr std::string_view opening = R"(# A recorded session

The bytes of a whole session, with the frames they are ([wire.md](wire.md)). Written by
`tests/unit/wire_session_test.cpp`, which fails when the implementation says anything
else; a second implementation can be checked against the same bytes.

`c -> a` is what the controller writes, `a -> c` what the agent writes. The offset counts
the bytes of that direction. A `*` stands for lines that repeat the one before it, up to
the next offset or the end of the frame.

The nonce is `00112233445566778899aabbccddeeff`, the window 1,024 bytes.
)";

// What the agent's frames come from: tests/python/test_wire_session.py has a real agent run it.
constexpr std::string_view task = R"(channel.send(6 * 7)
channel.send("gr\u00fc\u00df")
channel.send(b"")
channel.send({"name": "\u00e4", "list": [1, 2.5, None, True], "big": -2 ** 64})
channel.receive()
channel.receive()
import threading
arrived = threading.Event()
other = channel.gateway.newchannel()
other.setcallback(lambda item: arrived.set())
channel.send(other)
del other
arrived.wait()
)";

Value controller_hello() {
  Bytes nonce;
  for (unsigned i = 0; i < 16; ++i) nonce.push_back(static_cast<std::byte>(i * 0x11));
  return Dict{{"protocol", Tuple{1, 0}},
              {"version", "0.1.0"},
              {"max_frame", static_cast<std::int64_t>(limits::frame_accepted)},
              {"max_item", static_cast<std::int64_t>(limits::item)},
              {"capabilities", List{"arrays"}},
              {"nonce", nonce},
              {"id", "gw0"},
              {"window", static_cast<std::int64_t>(window)},
              {"max_channels", static_cast<std::int64_t>(limits::peer_channels)},
              {"execmodel", "thread"},
              {"debug", 0}};
}

Value agent_hello() {
  return Dict{{"protocol", Tuple{1, 0}},
              {"version", "0.1.0"},
              {"max_frame", static_cast<std::int64_t>(limits::frame_accepted)},
              {"max_item", static_cast<std::int64_t>(limits::item)},
              {"capabilities", List{"arrays"}},
              {"agent", "portable"},
              {"python", "3.11.2"},
              {"implementation", "cpython"},
              {"executable", "/usr/bin/python3"},
              {"pid", 4711}};
}

std::string marker() {
  detail::Nonce nonce;
  for (unsigned i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<std::byte>(i * 0x11);
  return detail::marker_for(nonce);
}

class Session {
 public:
  Session()
      : controller_(settings(Side::controller), Machine::Start::fresh),
        agent_(settings(Side::agent), Machine::Start::fresh) {
    page_ << opening;
    play();
  }
  ~Session() {
    controller_.machine.fail(errc::terminated);
    agent_.machine.fail(errc::terminated);
  }

  [[nodiscard]] std::string page() const { return page_.str(); }
  [[nodiscard]] const Bytes& from_controller() const { return streams_[0]; }
  [[nodiscard]] const Bytes& from_agent() const { return streams_[1]; }

  static Machine::Settings settings(Side side) { return Machine::settings_of(side, window); }

 private:
  void title(std::string_view text) { page_ << "\n## " << text << "\n"; }
  void remark(std::string_view text) { page_ << "\n" << text << "\n"; }

  void dump(const char* direction, const std::string& what, std::span<const std::byte> bytes, std::size_t offset) {
    page_ << "\n    " << direction << "  " << what << "\n";
    std::string before;
    bool skipping = false;
    for (std::size_t at = 0; at < bytes.size(); at += 16) {
      const auto row = bytes.subspan(at, std::min<std::size_t>(16, bytes.size() - at));
      std::string hex, text;
      for (std::size_t i = 0; i < 16; ++i) {
        if (i == 8) hex += ' ';
        const auto value = i < row.size() ? std::to_integer<unsigned>(row[i]) : 0;
        constexpr char digits[] = "0123456789abcdef";
        hex += i < row.size() ? std::string{' ', digits[value >> 4], digits[value & 15]} : "   ";
        if (i < row.size()) text += value >= 0x20 && value < 0x7f ? static_cast<char>(value) : '.';
      }
      if (hex == before) {
        if (!std::exchange(skipping, true)) page_ << "    *\n";
        continue;
      }
      skipping = false;
      before = hex;
      char number[16];
      std::snprintf(number, sizeof number, "%06zx", offset + at);
      page_ << "    " << number << " " << hex << "  |" << text << "|\n";
    }
  }

  /// Whatever a side has to say goes onto the page, and to the other side.
  void exchange(Machine& from, Machine& to) {
    const bool is_controller = &from == &controller_;
    const char* const direction = is_controller ? "c -> a" : "a -> c";
    Bytes& stream = streams_[is_controller ? 0 : 1];
    Bytes said = from.output();
    if (!is_controller && stream.empty()) {
      const std::size_t size = marker().size();
      dump(direction, "the marker", said.span().first(size), 0);
      stream.append(said.span().first(size));
      said = Bytes(said.span().subspan(size));
    }
    for (const Frame& each : cut(said.span())) {
      const Bytes bytes = header(each.header.kind, each.header.length, each.header.channel) + each.payload;
      dump(direction, each.describe(), bytes.span(), stream.size());
      stream.append(bytes.span());
    }
    EXPECT_TRUE(to.feed(said)) << to.machine.failure();
  }
  void controller_says() { exchange(controller_, agent_); }
  void agent_says() { exchange(agent_, controller_); }

  void send(Machine& from, std::uint32_t id, const Value& value) {
    Bytes scratch;
    const auto encoded = detail::encode_item(value, scratch, nullptr);
    send(from, id, encoded.kind, Bytes(encoded.payload));
  }
  void send(Machine& from, std::uint32_t id, ItemKind kind, Bytes payload) {
    from.machine.send(from.machine.find(id), sends_.emplace_back(kind, std::move(payload)));
  }
  Value take(Machine& at, std::uint32_t id) {
    auto one = at.machine.take(*at.machine.find(id));
    if (!one) {
      ADD_FAILURE() << "nothing on channel " << id;
      return {};
    }
    return one->kind == ItemKind::integer ? Value(one->integer)
                                          : detail::decode_item(one->kind, std::move(one->payload), nullptr);
  }

  void play() {
    title("Greetings");
    remark("Each side begins with HELLO; the controller does not wait for the agent's before it goes on.");
    controller_.machine.hello(detail::encode_pickle(controller_hello()).span());
    controller_says();
    agent_.machine.preface(bytes_of(marker()).span());
    agent_.machine.hello(detail::encode_pickle(agent_hello()).span());
    agent_says();

    title("A task");
    remark("OPEN, and EXEC as the channel's first item.");
    EXPECT_EQ(controller_.machine.open()->id, 1U);
    send(controller_, 1, ItemKind::exec,
         detail::encode_pickle(Dict{{"source", std::string(task)}, {"file", "task.py"}}));
    controller_says();
    EXPECT_THAT(agent_.events.back(), ::testing::StartsWith("exec 1 "));
    remark("The agent has taken EXEC, which has cost more than a quarter of the window.");
    agent_says();

    title("Items");
    remark("An int of 64 bits, a str and bytes that are a whole item travel raw; everything else is a pickle.");
    const Value structured = Dict{{"name", "\u00e4"},
                                  {"list", List{1, 2.5, nullptr, true}},
                                  {"big", BigInt::from_decimal("-18446744073709551616")}};
    send(agent_, 1, 42);
    send(agent_, 1, "gr\u00fc\u00df");
    send(agent_, 1, Bytes());
    send(agent_, 1, structured);
    agent_says();
    EXPECT_EQ(take(controller_, 1), Value(42));
    EXPECT_EQ(take(controller_, 1), Value("gr\u00fc\u00df"));
    EXPECT_EQ(take(controller_, 1), Value(Bytes()));
    EXPECT_EQ(take(controller_, 1), structured);
    remark("The user has taken them. They cost less than a quarter of the window: no CREDIT yet.");
    controller_says();

    title("An item that is larger than the window");
    remark(
        "3,000 bytes, in frames as the credit allows. The agent grants what has arrived, because\n"
        "nothing waits before this item and its sender cannot finish it.");
    send(controller_, 1, Bytes(std::string(3000, 'x')));
    for (int round = 0; round < 4; ++round) {
      controller_says();
      agent_says();
    }
    EXPECT_EQ(take(agent_, 1), Value(Bytes(std::string(3000, 'x'))));
    remark("The agent's user takes it: the rest of its cost comes back.");
    agent_says();

    title("Asking");
    remark("Neither waits behind items, and neither involves user code.");
    controller_.machine.ping(513);
    controller_says();
    agent_says();
    EXPECT_EQ(controller_.events.back(), "pong 513");
    remark("The agent's answer to STATUS has the number of the request before its pickle.");
    controller_.machine.request_status(1);
    controller_.events.clear();
    agent_.status = detail::encode_pickle(Dict{{"numchannels", 1}, {"numexecuting", 1}, {"execmodel", "thread"}});
    controller_says();
    agent_says();
    EXPECT_THAT(controller_.events, ::testing::ElementsAre(::testing::StartsWith("status_reply 1 ")));

    title("A channel of the agent's");
    remark(
        "The task goes on. It opens channel 2, sends a reference to it as an item, and drops it; as it\n"
        "has a callback there, that says that it will only receive. The controller uses it.");
    send(controller_, 1, "go on");
    controller_says();
    EXPECT_EQ(take(agent_, 1), Value("go on"));
    EXPECT_EQ(agent_.machine.open()->id, 2U);
    send(agent_, 1, ItemKind::pickle,
         bytes_of(std::string_view("\x80\x04\x8c\x08_gangway\x8c\x07"
                                   "channel\x93K\x02\x85R.",
                                   27)));
    agent_says();
    EXPECT_TRUE(controller_.machine.claim(2));
    agent_.machine.last_message(*agent_.machine.find(2));
    agent_says();
    (void)controller_.take_all(controller_.machine.find(1));
    send(controller_, 2, "on two");
    controller_says();
    EXPECT_EQ(take(agent_, 2), Value("on two"));

    title("Ends");
    remark("The first task ends well. The second one fails.");
    agent_.machine.close(agent_.machine.find(1));
    agent_says();
    EXPECT_EQ(controller_.machine.open()->id, 3U);
    send(controller_, 3, ItemKind::exec, detail::encode_pickle(Dict{{"source", "1 / 0\n"}}));
    controller_says();
    remark("Before that is known, the user has interrupted it.");
    controller_.machine.interrupt(*controller_.machine.find(3));
    controller_says();
    agent_.machine.close(agent_.machine.find(3),
                         "Traceback (most recent call last):\n  ...\nZeroDivisionError: division by zero\n");
    agent_says();
    remark(
        "The last reference to channel 2 is dropped, and the gateway ends. The agent ends its\n"
        "tasks and closes the stream.");
    controller_.machine.close(controller_.machine.find(2));
    controller_.machine.terminate();
    controller_says();
    EXPECT_EQ(agent_.events.back(), "terminate");
    EXPECT_EQ(agent_.machine.live(), 0U);
    EXPECT_EQ(controller_.machine.live(), 0U);
  }

  Machine controller_, agent_;
  std::list<Send> sends_;
  std::ostringstream page_;
  Bytes streams_[2];
};

TEST(WireSession, is_what_the_page_says) {
  const std::string path = GANGWAY_SOURCE_DIR "/spec-docs/wire-session.md";
  const Session session;
  if (std::getenv("GANGWAY_UPDATE") != nullptr) std::ofstream(path) << session.page();
  std::ifstream file(path);
  const std::string page(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(session.page(), page) << "GANGWAY_UPDATE=1 machine_tests --gtest_filter=WireSession.* writes the page";
}

// --- row D15

/// The items of each channel, by a reading of the frames that shares nothing with the machine.
std::map<std::uint32_t, std::vector<Bytes>> items_of(std::span<const std::byte> stream) {
  std::map<std::uint32_t, std::vector<Bytes>> items;
  std::map<std::uint32_t, Bytes> parts;
  for (const Frame& each : cut(stream)) {
    if (!each.header.is_item()) continue;
    Bytes& part = parts[each.header.channel];
    if (each.header.begins()) part.clear();
    part.append(each.payload.span().subspan(
        each.header.begins() && !each.header.ends() ? std::min<std::size_t>(8, each.payload.size()) : 0));
    if (each.header.ends()) items[each.header.channel].push_back(part);
  }
  return items;
}

/// A side of the session whose peer is a recording.
class Replay {
 public:
  Replay(const Session& session, Side side) : stream_(of(session, side)), side_(side) {
    std::size_t at = 0;
    for (const Frame& each : cut(stream_.span()))
      ends_.push_back(at += detail::frame_header_size + each.payload.size());
  }

  [[nodiscard]] Bytes& stream() { return stream_; }
  /// How it takes the first `size` bytes; the items that it got.
  [[nodiscard]] bool run(std::size_t size, std::map<std::uint32_t, std::vector<Bytes>>* items = nullptr) {
    Machine at(Session::settings(side_), Machine::Start::fresh);
    // Something to send, so that CREDIT finds room.
    Send first(ItemKind::bytes, pattern(5000)), second(ItemKind::bytes, pattern(5000));
    at.machine.send(at.machine.open(), first);
    at.machine.send(at.machine.open(), second);
    bool taken = true;
    std::size_t from = 0;
    // Frame by frame, so that what arrives is taken and credit is given, as it was.
    for (std::size_t i = 0; taken && i < ends_.size() && from < size; from = ends_[i++]) {
      (void)at.output();
      taken = at.machine.feed(stream_.span().subspan(from, std::min(ends_[i], size) - from));
      for (const auto& channel : at.machine.channels())
        for (Bytes& item : at.take_all(channel))
          if (items != nullptr) (*items)[channel->id].push_back(std::move(item));
    }
    failure = at.machine.failure();
    at.machine.fail(errc::connection_lost);
    return taken;
  }

  std::string failure;

 private:
  static Bytes of(const Session& session, Side side) {
    return side == Side::agent ? session.from_controller()
                               : Bytes(session.from_agent().span().subspan(marker().size()));
  }
  Bytes stream_;
  const Side side_;
  std::vector<std::size_t> ends_;
};

TEST(WireSession, a_flipped_bit_never_crashes_and_never_moves_an_item_to_another_channel) {
  const Session session;
  std::size_t detected = 0, flips = 0;
  for (const Side side : {Side::controller, Side::agent}) {
    Replay replay(session, side);
    Bytes& stream = replay.stream();
    for (std::size_t bit = 0; bit < stream.size() * 8; ++bit, ++flips) {
      std::byte& flipped = stream[bit / 8];
      flipped ^= std::byte{1} << (bit % 8);
      std::map<std::uint32_t, std::vector<Bytes>> delivered;
      if (!replay.run(stream.size(), &delivered)) {
        ASSERT_NE(replay.failure, "");
        ++detected;
      }
      const auto expected = items_of(stream.span());
      for (const auto& [id, items] : delivered) {
        const auto found = expected.find(id);
        ASSERT_TRUE(found != expected.end()) << "bit " << bit;
        // Each of them was sent there, in this order; more may be missing.
        auto next = found->second.begin();
        for (const Bytes& item : items) {
          next = std::find(next, found->second.end(), item);
          ASSERT_TRUE(next != found->second.end()) << "bit " << bit << ", channel " << id;
          ++next;
        }
      }
      flipped ^= std::byte{1} << (bit % 8);
    }
  }
  std::printf("%zu flipped bits, %zu detected\n", flips, detected);
  EXPECT_GT(detected, 0U);
}

TEST(WireSession, cut_off_anywhere_it_is_taken_as_far_as_it_goes) {
  const Session session;
  for (const Side side : {Side::controller, Side::agent}) {
    Replay replay(session, side);
    for (std::size_t size = 0; size <= replay.stream().size(); ++size) ASSERT_TRUE(replay.run(size)) << replay.failure;
  }
}

}  // namespace
}  // namespace gangway::testing
