// Channel::async_*: where handlers run, and what cancellation does in which phase. Rows
// I2, I3 and I9.
#include <gtest/gtest.h>

#include <gangway/channel.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
// clang 14 cannot compile a coroutine under its undefined behaviour sanitizer.
#if defined(BOOST_ASIO_HAS_CO_AWAIT) && defined(__clang__)
#if !__has_feature(undefined_behavior_sanitizer)
#define GANGWAY_TEST_COROUTINES
#endif
#elif defined(BOOST_ASIO_HAS_CO_AWAIT)
#define GANGWAY_TEST_COROUTINES
#endif
#ifdef GANGWAY_TEST_COROUTINES
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#endif

#include <future>
#include <numeric>

#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Cancel = asio::cancellation_type;

constexpr Cancel cancel_types[] = {Cancel::terminal, Cancel::partial, Cancel::total, Cancel::all};

/// Counts what it is called with.
struct Outcome {
  int calls = 0;
  error_code error;
  Value value;
  std::thread::id thread;

  auto handler() {
    return [this](error_code with, auto... values) {
      ++calls;
      error = with;
      thread = std::this_thread::get_id();
      ((value = std::move(values)), ...);
    };
  }
};

class ChannelAsync : public ConnectedTest {
 protected:
  void SetUp() override {
    const asio::steady_timer opens_the_descriptors_of(context);
    ConnectedTest::SetUp();
    connect(1024);
    std::tie(here, there) = channel();
  }
  void TearDown() override {
    here = there = {};
    ConnectedTest::TearDown();
  }
  /// Runs the user's context until `done`.
  template <class Done>
  [[nodiscard]] bool run_until(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!done() && std::chrono::steady_clock::now() < deadline) {
      context.restart();
      context.run_for(1ms);
    }
    return done();
  }
  /// The callback thread of the controller stands still while one of these lives.
  class Hold {
   public:
    explicit Hold(const End& end) {
      asio::post(end->callbacks()->executor(), [this] {
        held_.set_value();
        go_on_.get_future().wait();
        gone_.set_value();
      });
      held_.get_future().wait();
    }
    ~Hold() {
      go_on_.set_value();
      gone_.get_future().wait();
    }

   private:
    std::promise<void> held_, go_on_, gone_;
  };

  asio::io_context context;
  Channel here, there;
};

TEST_F(ChannelAsync, plain_handlers_run_on_the_callback_thread_and_never_inside_the_call) {
  there.send("item");
  std::promise<void> done;
  there.send("another");
  controller->ping(in(patience));
  std::promise<std::thread::id> ran_on;
  std::atomic<bool> returned{false};
  std::thread::id io_thread;
  here.async_receive([&](error_code error, const Value& value) {
    EXPECT_FALSE(error);
    EXPECT_EQ(value, Value("item"));
    EXPECT_TRUE(test::eventually([&] { return returned.load(); }));  // not inline
    EXPECT_FALSE(Runtime::in_handler());
    // Blocking is allowed here.
    EXPECT_EQ(here.receive<std::string>(patience), "another");
    ran_on.set_value(std::this_thread::get_id());
  });
  returned = true;
  const auto first = ran_on.get_future().get();
  EXPECT_NE(first, std::this_thread::get_id());
  std::promise<std::thread::id> again;
  here.async_send(1, [&](error_code) { again.set_value(std::this_thread::get_id()); });
  EXPECT_EQ(again.get_future().get(), first);
}

TEST_F(ChannelAsync, futures) {
  auto item = here.async_receive(asio::use_future);
  there.async_send(List{1, 2}, asio::use_future).get();
  EXPECT_EQ(item.get(), Value(List{1, 2}));
  auto end = here.async_waitclose(asio::use_future);
  auto none = here.async_receive(asio::use_future);
  there.close();
  end.get();
  try {
    (void)none.get();
    FAIL();
  } catch (const boost::system::system_error& error) {
    EXPECT_EQ(error.code(), errc::end_of_channel);
  }
}

TEST_F(ChannelAsync, a_bound_executor_is_honoured) {
  auto strand = asio::make_strand(context);
  int calls = 0;
  const auto check = [&](error_code error) {
    EXPECT_FALSE(error);
    EXPECT_TRUE(strand.running_in_this_thread());
    ++calls;
  };
  here.async_receive(asio::bind_executor(strand, [&](error_code error, const Value&) { check(error); }));
  here.async_send(5, asio::bind_executor(strand, [&](error_code error) { check(error); }));
  here.async_waitclose(asio::bind_executor(strand, [&](error_code error) { check(error); }));
  EXPECT_EQ(there.receive<int>(patience), 5);
  there.send(6);
  there.close();
  context.run();  // stays while they wait: they are outstanding work
  EXPECT_EQ(calls, 3);
}

TEST_F(ChannelAsync, operations_complete_in_the_order_in_which_they_were_started) {
  std::vector<int> order;
  for (int i = 0; i < 20; ++i)
    here.async_receive(asio::bind_executor(
        context, [&order](error_code, const Value& value) { order.push_back(static_cast<int>(value.as_int())); }));
  for (int i = 0; i < 20; ++i) there.send(i);
  context.run();
  std::vector<int> expected(20);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST_F(ChannelAsync, a_thread_and_operations_share_a_channel) {
  constexpr int count = 400;
  std::atomic<int> by_operation{0};
  std::function<void()> next = [&] {
    here.async_receive([&](error_code error, const Value&) {
      if (error) return;
      ++by_operation;
      next();
    });
  };
  next();
  int by_thread = 0;
  auto sender = std::async(std::launch::async, [&, to = there]() mutable {
    for (int i = 0; i < count; ++i) to.send(i);
    to.close();
  });
  const Failure end = failure_of([&] {
    for (;; ++by_thread) (void)here.receive(patience);
  });
  EXPECT_EQ(end.code, errc::end_of_channel);
  sender.get();
  EXPECT_TRUE(test::eventually([&] { return by_operation + by_thread == count; }))
      << by_operation << " + " << by_thread;
  // The last operation has seen the end before its handler goes.
  here.async_waitclose(asio::use_future).get();
}

// --- errors

TEST_F(ChannelAsync, errors_are_codes_and_the_channel_has_the_text) {
  there.close("Traceback: boom");
  here.async_waitclose(asio::bind_executor(context, [](error_code error) { EXPECT_EQ(error, errc::remote_error); }));
  context.run();
  EXPECT_EQ(here.error_text(), "Traceback: boom");
  Outcome receive, send;
  here.async_receive(asio::bind_executor(context, receive.handler()));
  here.async_send(1, asio::bind_executor(context, send.handler()));
  context.restart();
  context.run();
  EXPECT_EQ(receive.error, errc::end_of_channel);  // the error is raised once
  EXPECT_EQ(send.error, errc::channel_closed);
}

TEST_F(ChannelAsync, the_end_of_the_connection_completes_everything_once) {
  here.send_bytes(pattern(992).span());
  Outcome outcomes[6];
  const auto start = [&](Outcome* to) {
    here.async_receive(asio::bind_executor(context, to[0].handler()));
    here.async_send(Bytes(pattern(500)), asio::bind_executor(context, to[1].handler()));
    here.async_waitclose(asio::bind_executor(context, to[2].handler()));
  };
  start(outcomes);
  controller->finish({errc::connection_lost, "the cable was cut", {}});
  start(outcomes + 3);
  context.run();
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.calls, 1);
    EXPECT_EQ(outcome.error, errc::connection_lost);
  }
  EXPECT_EQ(here.error_text(), "the cable was cut");
}

TEST_F(ChannelAsync, what_is_no_item_is_refused_at_once_and_what_is_too_large_by_the_operation) {
  EXPECT_THROW(here.async_send(Value(there.isclosed() ? Value() : value_from(there)), [](error_code) { FAIL(); }),
               DumpError);
  controller->set_peer_max_item(100);
  Outcome outcome;
  here.async_send(Bytes(pattern(101)), asio::bind_executor(context, outcome.handler()));
  context.run();
  EXPECT_EQ(outcome.calls, 1);
  EXPECT_EQ(outcome.error, errc::item_too_large);
}

TEST_F(ChannelAsync, an_item_that_is_none_is_an_error_and_the_next_one_comes) {
  agent->send(state_of(there), {ItemKind::pickle, bytes_of("no pickle").span()});
  there.send(2);
  Outcome first, second;
  here.async_receive(asio::bind_executor(context, first.handler()));
  here.async_receive(asio::bind_executor(context, second.handler()));
  context.run();
  EXPECT_EQ(first.error, errc::bad_item);
  EXPECT_EQ(second.value, Value(2));
}

// --- cancellation. Row I3

TEST_F(ChannelAsync, receive_cancelled_while_it_waits_has_received_nothing) {
  for (const Cancel type : cancel_types) {
    asio::cancellation_signal signal;
    Outcome outcome;
    here.async_receive(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
    signal.emit(type);
    EXPECT_EQ(outcome.calls, 0);  // not inline
    ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
    EXPECT_EQ(outcome.error, errc::cancelled);
    signal.emit(type);
    there.send("next");
    EXPECT_EQ(here.receive<std::string>(patience), "next");
    EXPECT_EQ(outcome.calls, 1);
  }
}

TEST_F(ChannelAsync, no_cancellation_at_all_has_no_effect) {
  asio::cancellation_signal signal;
  Outcome outcome;
  here.async_receive(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
  signal.emit(Cancel::none);
  there.send(1);
  context.run();
  EXPECT_EQ(outcome.value, Value(1));
}

TEST_F(ChannelAsync, receive_cancelled_after_its_item_has_come_delivers_it) {
  for (const Cancel type : cancel_types) {
    asio::cancellation_signal signal;
    Outcome outcome;
    here.async_receive(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
    {
      const Hold hold(controller);
      there.send("mine");
      agent->ping(in(patience));  // it is here, and the operation woken
      signal.emit(type);
    }
    ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
    EXPECT_FALSE(outcome.error);
    EXPECT_EQ(outcome.value, Value("mine"));
    signal.emit(type);  // after the handler has run: no effect
    EXPECT_EQ(outcome.calls, 1);
  }
}

// Its item was taken by a thread: it would wait again.
TEST_F(ChannelAsync, receive_cancelled_between_two_waits_is_cancelled) {
  for (const Cancel type : cancel_types) {
    asio::cancellation_signal signal;
    Outcome outcome;
    here.async_receive(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
    {
      const Hold hold(controller);
      there.send("taken by a thread");
      agent->ping(in(patience));  // it is here
      EXPECT_EQ(here.receive<std::string>(0s), "taken by a thread");
      signal.emit(type);
    }
    ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
    EXPECT_EQ(outcome.error, errc::cancelled);
  }
}

TEST_F(ChannelAsync, waitclose_cancelled_while_it_waits_and_after_the_end) {
  for (const Cancel type : cancel_types) {
    asio::cancellation_signal signal;
    Outcome waiting, ended;
    here.async_waitclose(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, waiting.handler())));
    signal.emit(type);
    ASSERT_TRUE(run_until([&] { return waiting.calls > 0; }));
    EXPECT_EQ(waiting.error, errc::cancelled);
    here.async_waitclose(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, ended.handler())));
    {
      const Hold hold(controller);
      there.close();
      agent->ping(in(patience));
      signal.emit(type);
    }
    ASSERT_TRUE(run_until([&] { return ended.calls > 0; }));
    EXPECT_FALSE(ended.error);
    std::tie(here, there) = channel();
  }
}

TEST_F(ChannelAsync, send_cancelled_before_its_first_byte_was_not_sent) {
  for (const Cancel type : cancel_types) {
    std::tie(here, there) = channel();
    here.send_bytes(pattern(992).span(), patience);
    asio::cancellation_signal signal;
    Outcome outcome;
    here.async_send(Bytes(pattern(700)),
                    asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
    signal.emit(type);
    ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
    EXPECT_EQ(outcome.error, errc::cancelled);
    EXPECT_EQ(there.receive<Bytes>(patience).size(), 992U);
    here.send("next", patience);
    EXPECT_EQ(there.receive<std::string>(patience), "next");
    EXPECT_EQ(outcome.calls, 1);
  }
}

TEST_F(ChannelAsync, send_cancelled_after_its_first_byte_goes_on) {
  for (const Cancel type : cancel_types) {
    here.send("before", patience);
    asio::cancellation_signal signal;
    Outcome outcome;
    here.async_send(Bytes(pattern(3000)),
                    asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
    controller->ping(in(patience));  // it has begun
    signal.emit(type);
    context.restart();
    context.run_for(5ms);
    EXPECT_EQ(outcome.calls, 0);
    EXPECT_EQ(there.receive<std::string>(patience), "before");
    EXPECT_EQ(there.receive<Bytes>(patience), pattern(3000));
    ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
    EXPECT_FALSE(outcome.error);
  }
}

TEST_F(ChannelAsync, send_cancelled_after_its_end_has_no_effect) {
  asio::cancellation_signal signal;
  Outcome outcome;
  here.async_send(1, asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
  EXPECT_EQ(there.receive<int>(patience), 1);
  signal.emit(Cancel::all);
  context.run();
  EXPECT_EQ(outcome.calls, 1);
  EXPECT_FALSE(outcome.error);
}

// Cancellation races with arrival: one of the two, never both, never neither.
TEST_F(ChannelAsync, a_race_between_an_item_and_a_cancellation_loses_nothing) {
  int received = 0;
  constexpr int rounds = 300;
  for (int i = 0; i < rounds; ++i) {
    asio::cancellation_signal signal;
    Outcome outcome;
    here.async_receive(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(context, outcome.handler())));
    auto sender = std::async(std::launch::async, [&, to = there]() mutable { to.send(i); });
    if (i % 3 == 0) std::this_thread::yield();
    if (i % 3 == 1) {
      sender.wait();
      agent->ping(in(patience));
    }
    signal.emit(Cancel::terminal);
    ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
    sender.get();
    if (outcome.error == errc::cancelled) {
      EXPECT_EQ(here.receive<int>(patience), i);
    } else {
      EXPECT_EQ(outcome.value, Value(i));
      ++received;
    }
  }
  std::printf("%d of %d received before they were cancelled\n", received, rounds);
}

// --- contexts

// Row I9.
TEST_F(ChannelAsync, what_a_handler_throws_comes_out_of_the_users_run) {
  here.async_receive(asio::bind_executor(context, [](error_code, const Value&) { throw std::runtime_error("mine"); }));
  there.send(1);
  EXPECT_THROW(context.run(), std::runtime_error);
  there.send(2);
  EXPECT_EQ(here.receive<int>(patience), 2);
  Outcome outcome;
  here.async_send(3, asio::bind_executor(context, outcome.handler()));
  ASSERT_TRUE(run_until([&] { return outcome.calls > 0; }));
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(there.receive<int>(patience), 3);
}

// Row I2.
TEST_F(ChannelAsync, handlers_go_with_a_context_that_is_never_run) {
  const auto token = std::make_shared<int>(0);
  {
    asio::io_context unused;
    const auto handler = [token](error_code, auto&&...) { ADD_FAILURE() << "called after its context was gone"; };
    here.async_receive(asio::bind_executor(unused, handler));
    here.async_waitclose(asio::bind_executor(unused, handler));
    here.async_send(1, asio::bind_executor(unused, handler));
    controller->finish({errc::terminated, "", {}});
    here.async_waitclose(asio::use_future).wait();  // the callback thread has been through all of them
  }
  EXPECT_TRUE(test::eventually([&] { return token.use_count() == 1; }));
}

TEST_F(ChannelAsync, a_pending_operation_keeps_its_channel_open) {
  Outcome outcome;
  here.async_receive(asio::bind_executor(context, outcome.handler()));
  here = {};
  there.send(1);
  context.run();
  EXPECT_EQ(outcome.value, Value(1));
  there.waitclose(patience);
}

TEST_F(ChannelAsync, of_a_channel_that_is_none_is_refused) {
  Channel none;
  EXPECT_THROW(none.async_receive([](error_code, const Value&) { FAIL(); }), ChannelClosed);
  EXPECT_THROW(none.async_send(1, [](error_code) { FAIL(); }), ChannelClosed);
  EXPECT_THROW(none.async_waitclose([](error_code) { FAIL(); }), ChannelClosed);
}

// Eight threads and a context that three threads run.
TEST_F(ChannelAsync, three_threads_run_the_context_of_many_operations) {
  auto work = asio::make_work_guard(context);
  std::vector<std::thread> runners;
  for (int i = 0; i < 3; ++i) runners.emplace_back([&] { context.run(); });
  constexpr int each = 200;
  std::atomic<int> received{0}, sent{0};
  std::vector<std::future<void>> senders;
  std::function<void()> next = [&] {
    here.async_receive(asio::bind_executor(context, [&](error_code error, const Value&) {
      if (error) return;
      ++received;
      next();
    }));
  };
  for (int i = 0; i < 4; ++i) next();
  for (int i = 0; i < 4; ++i)
    senders.push_back(std::async(std::launch::async, [&, to = there]() mutable {
      for (int n = 0; n < each; ++n)
        to.async_send(Bytes(pattern(static_cast<std::size_t>(n))), asio::use_future).get(), ++sent;
    }));
  for (auto& sender : senders) sender.get();
  EXPECT_TRUE(test::eventually([&] { return received == 4 * each; }, patience));
  there.close();
  work.reset();
  for (auto& runner : runners) runner.join();
  EXPECT_EQ(sent, 4 * each);
}

// --- coroutines

#ifdef GANGWAY_TEST_COROUTINES

using namespace asio::experimental::awaitable_operators;

TEST_F(ChannelAsync, coroutines_stay_on_their_own_context) {
  const auto thread = std::this_thread::get_id();
  int done = 0;
  const auto talk = [&](Channel mine, Channel peer) -> asio::awaitable<void> {
    for (int i = 0; i < 10; ++i) {
      co_await mine.async_send(i, asio::use_awaitable);
      EXPECT_EQ(std::this_thread::get_id(), thread);
      const Value value = co_await peer.async_receive(asio::use_awaitable);
      EXPECT_EQ(value, Value(i));
      EXPECT_EQ(std::this_thread::get_id(), thread);
    }
    mine.close();
    co_await peer.async_waitclose(asio::use_awaitable);
    try {
      (void)co_await peer.async_receive(asio::use_awaitable);
      ADD_FAILURE();
    } catch (const boost::system::system_error& error) {
      EXPECT_EQ(error.code(), errc::end_of_channel);
    }
    ++done;
  };
  asio::co_spawn(context, talk(here, there), asio::detached);
  context.run();
  EXPECT_EQ(done, 1);
}

TEST_F(ChannelAsync, a_coroutine_gives_up_after_a_time) {
  bool timed_out = false, received = false;
  const auto within = [&](std::chrono::milliseconds time) -> asio::awaitable<std::optional<Value>> {
    asio::steady_timer timer(context, time);
    auto result = co_await (here.async_receive(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
    if (result.index() == 0) co_return std::get<0>(std::move(result));
    co_return std::nullopt;
  };
  const auto wait = [&]() -> asio::awaitable<void> {
    timed_out = !(co_await within(5ms));
    there.send("in time");
    received = co_await within(std::chrono::milliseconds(patience)) == Value("in time");
  };
  asio::co_spawn(context, wait(), asio::detached);
  context.run();
  EXPECT_TRUE(timed_out);
  EXPECT_TRUE(received);
}

#else

TEST_F(ChannelAsync, coroutines) { GTEST_SKIP() << "clang 14 cannot compile a coroutine under UBSan"; }

#endif

}  // namespace
}  // namespace gangway::testing
