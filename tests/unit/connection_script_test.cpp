// A connection over a scripted stream: short reads and writes, EAGAIN anywhere, ends and
// errors, noise. Rows A2, A3, C9, C12 and D18 of the fault catalogue.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

using ::testing::HasSubstr;

class ScriptedTest : public test::LeakCheckedTest {
 protected:
  void start(std::optional<detail::Nonce> nonce = {}) {
    Multiplexer::Settings settings;
    settings.window = 64 * 1024;
    end = End(runtime, std::make_unique<ScriptStream>(script), settings);
    end.start(nonce);
  }
  void TearDown() override {
    if (end.connection) end->finish({errc::terminated, "the test is over", {}});
    end = {};
    script.reset();
    runtime.reset();
    LeakCheckedTest::TearDown();
  }
  std::shared_ptr<Runtime> runtime = Runtime::create();
  std::shared_ptr<Script> script = std::make_shared<Script>(runtime->io());
  End end;
};

const Bytes hello = frame(ControlKind::hello, 0, detail::encode_pickle(Dict{}));

TEST_F(ScriptedTest, everything_arrives_byte_by_byte_with_EAGAIN_between) {
  start();
  Channel channel = open(end);
  const Bytes stream = hello + item(ItemKind::integer, 1, number(1)) + item(ItemKind::str, 1, bytes_of("two")) +
                       begin(ItemKind::bytes, 1, 300, pattern(100)) +
                       item(ItemKind::bytes, 1, Bytes(pattern(300).span().subspan(100)), Part::end);
  for (const std::byte byte : stream) {
    script->gives_nothing_now();
    script->gives(Bytes(std::span(&byte, 1)));
  }
  EXPECT_EQ(channel.receive<int>(patience), 1);
  EXPECT_EQ(channel.receive<std::string>(patience), "two");
  EXPECT_EQ(channel.receive<Bytes>(patience), pattern(300));
}

TEST_F(ScriptedTest, everything_is_written_byte_by_byte_with_EAGAIN_between) {
  for (int i = 0; i < 3000; ++i) {
    script->takes_nothing_now();
    script->takes(1);
  }
  start();
  script->gives(hello);
  Channel channel = open(end);
  channel.send("text");
  channel.send_bytes(pattern(6000).span(), patience);
  Bytes expected =
      frame(ControlKind::open, 1) + item(ItemKind::str, 1, bytes_of("text")) + item(ItemKind::bytes, 1, pattern(6000));
  EXPECT_TRUE(test::eventually([&] { return script->written() == hello + expected; }, patience));
}

TEST_F(ScriptedTest, what_arrived_before_the_end_is_delivered_before_the_end) {
  for (const auto& how : {std::string("end"), std::string("reset"), std::string("cut off")}) {
    start();
    Channel channel = open(end);
    Bytes stream = hello;
    for (std::uint64_t i = 0; i < 20; ++i) stream = stream + item(ItemKind::integer, 1, number(i));
    if (how == "cut off") stream = stream + Bytes(item(ItemKind::integer, 1, number(1)).span().first(11));
    script->gives_one_by_one(stream, 7);
    if (how == "reset")
      script->gives_error(boost::asio::error::connection_reset);
    else
      script->gives_end();
    for (int i = 0; i < 20; ++i) ASSERT_EQ(channel.receive<int>(patience), i);
    const Failure failure = failure_of([&] { (void)channel.receive(patience); });
    EXPECT_EQ(failure.code, errc::connection_lost);
    EXPECT_TRUE(failure.is_connection_lost);
    EXPECT_EQ(failure.exit_status, 3);
    EXPECT_THAT(failure.text, HasSubstr(how == "reset" ? "reset" : "lost"));
    EXPECT_EQ(end.owner->stream_ends, 1);
    EXPECT_EQ(end.owner->finishes, 1);
    EXPECT_TRUE(script->closed());
    EXPECT_FALSE(channel.isclosed());  // lost, not closed
    channel = {};
    end = {};
    script = std::make_shared<Script>(runtime->io());
  }
}

TEST_F(ScriptedTest, what_the_peer_wrote_before_it_stopped_reading_is_delivered) {
  script->takes(10'000);
  start();
  Channel channel = open(end);
  Bytes stream = hello;
  for (std::uint64_t i = 0; i < 20; ++i) stream = stream + item(ItemKind::integer, 1, number(i));
  script->takes_error(boost::asio::error::broken_pipe);
  for (const std::byte byte : stream) script->gives(Bytes(std::span(&byte, 1)));
  channel.send("into the void");
  for (int i = 0; i < 20; ++i) ASSERT_EQ(channel.receive<int>(patience), i);
  const Failure failure = failure_of([&] { (void)channel.receive(patience); });
  EXPECT_EQ(failure.code, errc::connection_lost);
  EXPECT_THAT(failure.text, HasSubstr("Broken pipe"));
}

TEST_F(ScriptedTest, items_before_a_protocol_error_are_delivered_and_the_error_says_what_was_wrong) {
  start();
  Channel channel = open(end);
  script->gives(hello + item(ItemKind::integer, 1, number(4)) + frame(ControlKind::terminate) +
                item(ItemKind::integer, 1, number(5)));
  EXPECT_EQ(channel.receive<int>(patience), 4);
  const Failure failure = failure_of([&] { (void)channel.receive(patience); });
  EXPECT_EQ(failure.code, errc::protocol_error);
  EXPECT_THAT(failure.text, HasSubstr("TERMINATE from the agent"));
  EXPECT_EQ(channel.error_text(), failure.text);
}

TEST_F(ScriptedTest, a_HELLO_that_is_no_item_is_refused) {
  start();
  script->gives(frame(ControlKind::hello, 0, bytes_of("cos\nsystem\n")));
  EXPECT_EQ(failure_of([&] { (void)end->wait_ready(in(patience)); }).code, errc::protocol_error);
}

TEST_F(ScriptedTest, the_owner_refuses_a_HELLO_with_its_reason) {
  start();
  end.owner->refuse = "too old for us";
  script->gives(hello);
  EXPECT_THAT(failure_of([&] { (void)end->wait_ready(in(patience)); }).text, HasSubstr("too old for us"));
}

// None of the limits is the peer's to raise.
TEST_F(ScriptedTest, what_a_HELLO_promises_raises_no_limit) {
  const Bytes boastful = frame(ControlKind::hello, 0,
                               detail::encode_pickle(Dict{{"max_frame", 1 << 30},
                                                          {"max_item", std::int64_t{1} << 62},
                                                          {"window", std::int64_t{1} << 62},
                                                          {"max_channels", 1 << 30}}));
  Bytes opens;
  for (std::uint32_t i = 1; i <= limits::peer_channels + 1; ++i) opens = opens + frame(ControlKind::open, 2 * i);
  const std::pair<Bytes, const char*> table[] = {
      {header(0x32, limits::frame_accepted + 1, 1), "262144 are accepted"},
      {begin(ItemKind::bytes, 1, limits::item + 1, pattern(1)), "over max_item"},
      {item(ItemKind::bytes, 1, pattern(64 * 1024 - 31)), "beyond its credit"},
      {opens, "more than 1024 channels"},
  };
  for (const auto& [frames, reason] : table) {
    start();
    Channel channel = open(end);
    script->gives(boastful + frames);
    const Failure failure = failure_of([&, channel]() mutable { (void)channel.receive(patience); });
    EXPECT_EQ(failure.code, errc::protocol_error);
    EXPECT_THAT(failure.text, HasSubstr(reason));
    channel = {};
    end = {};
    script = std::make_shared<Script>(runtime->io());
  }
}

TEST_F(ScriptedTest, noise_before_the_marker_is_skipped_and_kept) {
  detail::Nonce nonce{};
  nonce[3] = std::byte{0x42};
  start(nonce);
  script->gives_one_by_one(bytes_of("Welcome!\r\n<GW1 fake>\n" + detail::marker_for(nonce)) + hello, 3);
  EXPECT_TRUE(end->wait_ready(in(patience)));
  EXPECT_EQ(end->noise(), "Welcome!\r\n<GW1 fake>\n");
}

TEST_F(ScriptedTest, too_much_noise_is_an_error_that_shows_its_beginning) {
  start(detail::Nonce{});
  script->gives(bytes_of("Are you human? [y/N] \x1b[2J" + std::string(100'000, '.')));
  const Failure failure = failure_of([&] { (void)end->wait_ready(in(patience)); });
  EXPECT_EQ(failure.code, errc::bootstrap_noise);
  EXPECT_THAT(failure.text, HasSubstr("Are you human? [y/N] \\x1b[2J"));
}

TEST_F(ScriptedTest, wait_ready_is_patient_and_tells_of_the_end) {
  start();
  EXPECT_FALSE(end->wait_ready(in(0s)));
  EXPECT_FALSE(end->wait_ready(in(5ms)));
  script->gives_end();
  EXPECT_EQ(failure_of([&] { (void)end->wait_ready(in(patience)); }).code, errc::connection_lost);
}

// --- waits without a thread

class CountingWaiter final : public detail::ChannelWaiter {
 public:
  void wake() override { ++wakes; }
  std::atomic<int> wakes{0};
};

TEST_F(ScriptedTest, who_waits_without_a_thread_leaves_nothing_unsent) {
  start();
  script->gives(hello);
  ASSERT_TRUE(end->wait_ready(in(patience)));
  Channel channel = open(end);
  for (void (Connection::*wait)(const Connection::ChannelPtr&, detail::ChannelWaiter&) :
       {&Connection::add_receiver, &Connection::add_end_waiter}) {
    for (int i = 0; i < 100; ++i) channel.send(i);  // more than go out one by one
    CountingWaiter waiter;
    ((*end.connection).*wait)(state_of(channel), waiter);
    const std::size_t written = script->written().size();
    EXPECT_TRUE(end->drained());
    EXPECT_EQ(script->written().size(), written);
    EXPECT_TRUE(end->remove_waiter(state_of(channel), waiter));
    EXPECT_FALSE(end->remove_waiter(state_of(channel), waiter));
  }
}

TEST_F(ScriptedTest, a_receiver_that_was_woken_and_takes_nothing_passes_it_on) {
  start();
  Channel channel = open(end);
  CountingWaiter first, second;
  end->pass_on(state_of(channel));  // nothing is there
  end->add_receiver(state_of(channel), first);
  end->add_receiver(state_of(channel), second);
  end->pass_on(state_of(channel));
  EXPECT_EQ(first.wakes, 0);
  script->gives(hello + item(ItemKind::integer, 1, number(1)));
  EXPECT_TRUE(test::eventually([&] { return first.wakes == 1; }));
  EXPECT_EQ(second.wakes, 0);
  EXPECT_FALSE(end->remove_waiter(state_of(channel), first));
  end->pass_on(state_of(channel));
  EXPECT_EQ(second.wakes, 1);
  EXPECT_EQ(channel.receive<int>(patience), 1);
}

TEST_F(ScriptedTest, the_handshake_can_be_waited_for_without_a_thread) {
  start();
  CountingWaiter waiter, late, removed;
  end->add_ready_waiter(waiter);
  end->add_ready_waiter(removed);
  EXPECT_TRUE(end->remove_ready_waiter(removed));
  EXPECT_EQ(waiter.wakes, 0);
  script->gives(hello);
  EXPECT_TRUE(test::eventually([&] { return waiter.wakes == 1; }));
  EXPECT_FALSE(end->remove_ready_waiter(waiter));
  end->add_ready_waiter(late);
  EXPECT_EQ(late.wakes, 1);
  EXPECT_EQ(removed.wakes, 0);
}

TEST_F(ScriptedTest, a_connection_that_ends_before_its_handshake_tells_who_waits_for_it) {
  start();
  CountingWaiter waiter;
  end->add_ready_waiter(waiter);
  script->gives_end();
  EXPECT_TRUE(test::eventually([&] { return waiter.wakes == 1; }));
  EXPECT_EQ(failure_of([&] { (void)end->wait_ready(in(patience)); }).code, errc::connection_lost);
}

}  // namespace
}  // namespace gangway::testing
