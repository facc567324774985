// Callbacks of channels: who is called where and in which order, and that the end is told
// once however it comes. Row E6 of the fault catalogue.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>

#include <condition_variable>
#include <future>
#include <stdexcept>

#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Value over("over");

/// What callbacks were called with, by any thread.
class Calls {
 public:
  void add(const Value& value) {
    const std::lock_guard lock(mutex_);
    seen_.push_back(to_text(value));
    changed_.notify_all();
  }
  [[nodiscard]] std::function<void(Value)> recorder() {
    return [this](const Value& value) { add(value); };
  }
  [[nodiscard]] std::vector<std::string> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  [[nodiscard]] std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return seen_.size() >= count; });
    return seen_;
  }

 private:
  static std::string to_text(const Value& value) {
    return value.is_str() ? std::string(value.as_str()) : std::to_string(value.as_int());
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> seen_;
};

/// A callback waits here until the test says so.
class Gate {
 public:
  ~Gate() { open(); }
  void open() {
    if (!std::exchange(opened_, true)) promise_.set_value();
  }
  void wait() const { future_.wait(); }

 private:
  bool opened_ = false;
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

class Callbacks : public ConnectedTest {
 protected:
  /// What the other end sent before is here.
  void settle() { controller->ping(in(10s)); }

  /// The end of the connections is told, too: not later than `gate` and `calls` are there.
  void TearDown() override {
    gate.open();
    for (End* end : {&controller, &agent}) {
      if (!end->connection) continue;
      const auto thread = (*end)->callbacks();
      (*end)->finish({errc::terminated, "the test is over", {}});
      std::promise<void> told;
      boost::asio::post(thread->executor(), [&] { told.set_value(); });
      told.get_future().wait();
    }
    ConnectedTest::TearDown();
  }

  Gate gate;
  Calls calls;
};

TEST_F(Callbacks, what_is_queued_is_handed_over_by_the_calling_thread_and_the_rest_by_another) {
  connect();
  auto [here, there] = channel();
  there.send(1);
  there.send(2);
  settle();
  std::vector<std::thread::id> threads;
  here.setcallback([&](const Value& value) {
    threads.push_back(std::this_thread::get_id());
    calls.add(value);
  });
  EXPECT_THAT(calls.seen(), ElementsAre("1", "2"));
  there.send(3);
  there.send(4);
  EXPECT_THAT(calls.wait_for(4), ElementsAre("1", "2", "3", "4"));
  EXPECT_EQ(threads[1], std::this_thread::get_id());
  EXPECT_NE(threads[2], std::this_thread::get_id());
  EXPECT_EQ(threads[2], threads[3]);
}

TEST_F(Callbacks, all_channels_of_a_gateway_are_served_in_the_order_of_arrival) {
  connect();
  std::vector<std::pair<Channel, Channel>> channels;
  std::vector<std::string> expected;
  for (int i = 0; i < 5; ++i) {
    channels.push_back(channel());
    channels.back().first.setcallback(calls.recorder());
  }
  for (int i = 0; i < 500; ++i) {
    channels[static_cast<std::size_t>(i * 7 % 5)].second.send(i);
    expected.push_back(std::to_string(i));
  }
  EXPECT_EQ(calls.wait_for(500), expected);
}

TEST_F(Callbacks, nothing_new_is_dispatched_while_the_caller_hands_over) {
  connect();
  auto [here, there] = channel();
  auto [other, other_there] = channel();
  other.setcallback(calls.recorder());
  there.send(1);
  settle();
  here.setcallback([&, far = there, other_far = other_there](const Value& value) mutable {
    calls.add(value);
    if (value.as_int() > 1) return;
    far.send(2);
    far.send(3);
    other_far.send(99);  // which is served meanwhile
    (void)calls.wait_for(2);
    EXPECT_THAT(calls.seen(), ElementsAre("1", "99"));
  });
  EXPECT_THAT(calls.wait_for(4), ElementsAre("1", "99", "2", "3"));
}

TEST_F(Callbacks, an_exception_while_the_caller_hands_over_takes_the_callback_back) {
  connect();
  auto [here, there] = channel();
  for (int i = 1; i <= 3; ++i) there.send(i);
  settle();
  EXPECT_THROW(here.setcallback([&](const Value& value) {
    if (value.as_int() == 2) throw std::runtime_error("no");
    calls.add(value);
  }),
               std::runtime_error);
  EXPECT_THAT(calls.seen(), ElementsAre("1"));
  EXPECT_EQ(here.receive<int>(patience), 3);
  there.send(4);
  settle();
  here.setcallback(calls.recorder(), over);
  there.close();
  EXPECT_THAT(calls.wait_for(3), ElementsAre("1", "4", "over"));
}

TEST_F(Callbacks, receive_and_a_second_callback_are_refused_and_receivers_woken) {
  connect();
  auto [here, there] = channel();
  auto receiving = std::async(
      std::launch::async, [channel = here]() mutable { return failure_of([&] { (void)channel.receive(patience); }); });
  (void)receiving.wait_for(20ms);  // sooner or later: the outcome is the same
  here.setcallback(calls.recorder(), over);
  EXPECT_EQ(receiving.get().code, errc::has_callback);
  EXPECT_EQ(failure_of([&here = here] { (void)here.receive(patience); }).code, errc::has_callback);
  EXPECT_EQ(failure_of([&, &here = here] { here.setcallback(calls.recorder()); }).code, errc::has_callback);
  there.close();
  EXPECT_THAT(calls.wait_for(1), ElementsAre("over"));
  EXPECT_EQ(failure_of([&here = here] { (void)here.receive(patience); }).code, errc::has_callback);
}

// --- the end

TEST_F(Callbacks, the_end_is_told_once_and_last_however_it_comes) {
  connect();
  struct Row {
    const char* what;
    std::function<void(Channel&, Channel&)> end;
    const char* error;
  };
  const std::vector<Row> table = {
      {"the peer closes", [](Channel&, Channel& there) { there.close(); }, ""},
      {"the peer closes with an error", [](Channel&, Channel& there) { there.close("broke"); }, "broke"},
      {"own close", [](Channel& here, Channel&) { here.close(); }, ""},
      {"the peer's handle is gone", [](Channel&, Channel& there) { there = {}; }, ""},
      {"both close",
       [](Channel& here, Channel& there) {
         there.close();
         here.close();
       },
       ""},
      {"the connection is lost",
       [this](Channel&, Channel&) {
         agent->finish({errc::terminated, "gone", {}});
       },
       "the connection was lost"},  // the last row
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.what);
    auto [here, there] = channel();
    Calls seen;
    std::string error;
    here.setcallback(
        [&, watched = here](const Value& value) {
          if (value.is_str()) error = watched.error_text();
          seen.add(value);
        },
        over);
    there.send(1);
    EXPECT_THAT(seen.wait_for(1), ElementsAre("1"));
    row.end(here, there);
    EXPECT_THAT(seen.wait_for(2), ElementsAre("1", "over"));
    EXPECT_THAT(error, HasSubstr(row.error));
    EXPECT_EQ(error.empty(), *row.error == '\0');
    (void)failure_of([&here = here] { here.close(); });
    (void)failure_of([&] { controller->ping(in(10s)); });
    EXPECT_THAT(seen.seen(), ElementsAre("1", "over"));
  }
}

TEST_F(Callbacks, a_channel_that_has_ended_hands_over_everything_right_there) {
  connect();
  auto [here, there] = channel();
  there.send(1);
  there.close("broke");
  settle();
  here.setcallback(calls.recorder(), over);
  EXPECT_THAT(calls.seen(), ElementsAre("1", "over"));
  EXPECT_EQ(failure_of([&here = here] { here.waitclose(patience); }).text, "broke");
  here.waitclose(patience);
}

TEST_F(Callbacks, waitclose_returns_after_the_call_with_the_end_marker) {
  connect();
  auto [here, there] = channel();
  here.setcallback(
      [&](const Value& value) {
        gate.wait();
        calls.add(value);
      },
      over);
  there.close();
  settle();
  EXPECT_EQ(failure_of([&, c = here]() mutable { c.waitclose(50ms); }).code, errc::timed_out);
  EXPECT_THAT(calls.seen(), IsEmpty());
  auto waiting = std::async(std::launch::async, [c = here]() mutable { c.waitclose(patience); });
  gate.open();
  waiting.get();
  EXPECT_THAT(calls.seen(), ElementsAre("over"));
}

TEST_F(Callbacks, own_close_does_not_wait_for_the_callback) {
  connect();
  auto [here, there] = channel();
  here.setcallback([&](const Value&) { gate.wait(); }, over);
  here.close();
  here.waitclose(patience);
  gate.open();
}

// --- handles

TEST_F(Callbacks, a_callback_outlives_the_handle_and_the_peer_may_go_on_sending) {
  connect();
  auto [here, there] = channel();
  here.setcallback(calls.recorder(), over);
  here = {};
  controller->ping(in(10s));
  EXPECT_FALSE(there.isclosed());
  there.send(1);
  there.send(2);
  EXPECT_THAT(calls.wait_for(2), ElementsAre("1", "2"));
  // Its state is sendonly: nothing will come.
  EXPECT_EQ(failure_of([&, c = there]() mutable { (void)c.receive(patience); }).code, errc::end_of_channel);
  there.waitclose(patience);
  there.close();
  EXPECT_THAT(calls.wait_for(3), ElementsAre("1", "2", "over"));
}

TEST_F(Callbacks, two_sides_with_callbacks_that_drop_their_handles_end_the_channel) {
  connect();
  auto [here, there] = channel();
  Calls there_calls;
  here.setcallback(calls.recorder(), over);
  there.setcallback(there_calls.recorder(), over);
  here = {};
  there = {};
  EXPECT_THAT(calls.wait_for(1), ElementsAre("over"));
  EXPECT_THAT(there_calls.wait_for(1), ElementsAre("over"));
  settle();
  agent->ping(in(10s));
  EXPECT_EQ(controller->live_channels(), 0U);
  EXPECT_EQ(agent->live_channels(), 0U);
}

// --- errors in callbacks, and blocking

TEST_F(Callbacks, what_a_callback_throws_closes_its_channel_at_both_sides_and_nothing_else) {
  connect();
  auto [here, there] = channel();
  auto [other, other_there] = channel();
  other.setcallback(calls.recorder());
  here.setcallback(
      [&](const Value& value) {
        calls.add(value);
        if (!value.is_str()) throw std::runtime_error("cannot take " + std::to_string(value.as_int()));
      },
      over);
  there.send(1);
  there.send(2);
  EXPECT_EQ(failure_of([&, c = there]() mutable { c.waitclose(patience); }).text, "cannot take 1");
  EXPECT_THAT(calls.wait_for(2), ElementsAre("1", "over"));
  EXPECT_EQ(failure_of([&, c = here]() mutable { c.waitclose(patience); }).text, "cannot take 1");
  other_there.send(3);
  EXPECT_THAT(calls.wait_for(3), ElementsAre("1", "over", "3"));
}

TEST_F(Callbacks, a_callback_that_throws_nothing_known_is_survived) {
  connect();
  auto [here, there] = channel();
  here.setcallback([](const Value&) { throw 7; });
  there.send(1);
  EXPECT_THAT(failure_of([&, c = there]() mutable { c.waitclose(patience); }).text, HasSubstr("no std::exception"));
}

TEST_F(Callbacks, a_callback_may_send_close_and_wait_on_other_channels_but_not_for_itself) {
  connect();
  auto [here, there] = channel();
  auto [other, other_there] = channel();
  auto [third, third_there] = channel();
  third.setcallback(calls.recorder(), over);
  std::promise<Failure> own_wait;
  here.setcallback(
      [&, c = here, other_channel = other, third_channel = third](const Value& value) mutable {
        if (value.is_str()) return;
        c.send(value.as_int() + 1);
        EXPECT_EQ(other_channel.receive<int>(patience), 5);
        other_channel.waitclose(patience);
        third_channel.waitclose(patience);  // whose end only this thread could tell
        own_wait.set_value(failure_of([&] { c.waitclose(patience); }));
        c.close();
        c.waitclose(patience);
      },
      over);
  there.send(1);
  EXPECT_EQ(there.receive<int>(patience), 2);
  other_there.send(5);
  other_there.close();
  third_there.close();
  EXPECT_EQ(own_wait.get_future().get().code, errc::would_deadlock);
  there.waitclose(patience);
  EXPECT_THAT(calls.wait_for(1), ElementsAre("over"));
}

TEST_F(Callbacks, one_that_blocks_delays_neither_other_channels_nor_the_connection) {
  connect(2048);
  auto [here, there] = channel();
  auto [other, other_there] = channel();
  here.setcallback(
      [&](const Value& value) {
        gate.wait();
        calls.add(value);
      },
      over);
  // Until its window is full: credit is given as the callback takes.
  int sent = 0;
  while (!failure_of([&, c = there]() mutable { c.send(sent, 50ms); }).code) ++sent;
  EXPECT_GT(sent, 2048 / 40 - 2);
  EXPECT_LT(sent, 2 * 2048 / 40);
  for (int i = 0; i < 100; ++i) {
    other_there.send(i);
    EXPECT_EQ(other.receive<int>(patience), i);
    controller->ping(in(10s));
  }
  gate.open();
  EXPECT_EQ(calls.wait_for(static_cast<std::size_t>(sent)).size(), static_cast<std::size_t>(sent));
  for (int i = 0; i < 1000; ++i) there.send(i, patience);
  EXPECT_EQ(calls.wait_for(static_cast<std::size_t>(sent) + 1000).size(), static_cast<std::size_t>(sent) + 1000);
}

}  // namespace
}  // namespace gangway::testing
