// Connections: what blocks, what ends, and what everybody who waits is told. Over pipes and
// sockets between two connections of this process. Rows B13, C9, F11, I1, I5.
#include "channels/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>

#include <future>
#include <set>

#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

using ::testing::HasSubstr;

// --- the end reaches everybody

TEST_F(ConnectedTest, everybody_who_waits_is_told_of_the_end_once) {
  connect(1024);
  auto [here, there] = channel();
  auto [unread, unread_there] = channel();
  const Bytes filling = pattern(992);
  unread.send_bytes(filling.span());  // its window is full now

  // Requests that no answer comes to: this agent is a script that says nothing.
  auto silent_script = std::make_shared<Script>(runtime->io());
  End silent(runtime, std::make_unique<ScriptStream>(silent_script), {});
  silent.start();

  std::vector<std::future<Failure>> waiting;
  const auto wait = [&](std::function<void()> what) {
    waiting.push_back(later([what = std::move(what)] { return failure_of(what); }));
  };
  for (int i = 0; i < 3; ++i) {
    wait([channel = here]() mutable { (void)channel.receive(); });
    wait([channel = here]() mutable { (void)channel.receive(1h); });
    wait([channel = here]() mutable { channel.waitclose(); });
    wait([channel = unread, &filling]() mutable { channel.send_bytes(filling.span()); });
    wait([channel = unread, &filling]() mutable { channel.send_bytes(filling.span(), 1h); });
    wait([&] { (void)silent->status({}); });
    wait([&] { silent->ping({}); });
    wait([&] { (void)silent->wait_ready({}); });
  }
  for (auto& each : waiting) EXPECT_FALSE(is_ready(each, 5ms));
  const ConnectionEnd end{
      errc::connection_lost, "the cable was cut", {.exit_status = 7, .signal = {}, .stderr_tail = "last words"}};
  controller->finish(end);
  controller->finish({errc::terminated, "too late", {}});
  silent->finish(end);
  for (auto& each : waiting) {
    ASSERT_TRUE(is_ready(each, patience));
    const Failure failure = each.get();
    EXPECT_EQ(failure.code, errc::connection_lost);
    EXPECT_EQ(failure.text, "the cable was cut");
    EXPECT_EQ(failure.exit_status, 7);
  }
  // And everybody who comes later.
  for (const auto& what : std::vector<std::function<void()>>{
           [channel = here]() mutable { (void)channel.receive(0s); },
           [channel = here]() mutable { channel.waitclose(0s); }, [channel = here]() mutable { channel.send(1); },
           [&] { (void)controller->status({}); }, [&] { controller->ping({}); },
           [&] { (void)controller->open_channel(); }}) {
    const Failure failure = failure_of(what);
    EXPECT_EQ(failure.code, errc::connection_lost);
    EXPECT_EQ(failure.text, "the cable was cut");
    EXPECT_EQ(failure.exit_status, 7);
  }
  EXPECT_EQ(here.error_text(), "the cable was cut");
  EXPECT_EQ(controller.owner->finishes, 1);
}

// Row B13, as far as it is the connection's.
TEST_F(ConnectedTest, a_hundred_blocked_sends_end_with_the_connection_each_once) {
  connect(1024);
  std::vector<std::pair<Channel, Channel>> channels;
  for (int i = 0; i < 10; ++i) channels.push_back(channel());
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i)
    threads.emplace_back([&, i] {
      Channel sending = channels[static_cast<std::size_t>(i) % 10].first;
      const Failure failure = failure_of([&] {
        for (;;) sending.send_bytes(pattern(500).span());
      });
      EXPECT_EQ(failure.code, errc::terminated);
      ++ended;
    });
  ASSERT_TRUE(test::eventually([&] {
    return std::all_of(channels.begin(), channels.end(), [&](auto& each) {
      return !failure_of([&] { each.first.send_bytes(pattern(800).span(), 0ms); }).text.empty();
    });
  }));
  EXPECT_EQ(ended, 0);
  controller->finish({errc::terminated, "terminated", {}});
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(ended, 100);
}

TEST_F(ConnectedTest, the_end_of_the_stream_is_found_while_nobody_waits) {
  connect();
  agent->finish({errc::terminated, "", {}});
  EXPECT_TRUE(test::eventually([&] { return controller->finished(); }, patience));
  EXPECT_EQ(controller.owner->stream_ends, 1);
}

// --- timeouts

TEST_F(ConnectedTest, a_timeout_leaves_the_channel_usable) {
  connect();
  auto [here, there] = channel();
  for (const auto time : {std::chrono::nanoseconds(0), std::chrono::nanoseconds(3ms)}) {
    EXPECT_THROW((void)here.receive(time), TimeoutError);
    EXPECT_THROW(here.waitclose(time), TimeoutError);
  }
  there.send("here it is");
  EXPECT_EQ(here.receive<std::string>(patience), "here it is");
  EXPECT_FALSE(here.isclosed());
}

TEST_F(ConnectedTest, a_send_that_times_out_before_its_first_byte_was_not_sent) {
  connect(1024);
  auto [here, there] = channel();
  here.send_bytes(pattern(992).span());
  const Failure failure =
      failure_of([&, channel = here]() mutable { channel.send_bytes(pattern(500, 1).span(), 5ms); });
  EXPECT_EQ(failure.code, errc::timed_out);
  EXPECT_THAT(failure.text, HasSubstr("nothing was sent"));
  EXPECT_EQ(there.receive<Bytes>(patience).size(), 992U);
  here.send(3, patience);
  EXPECT_EQ(there.receive<int>(patience), 3);
}

TEST_F(ConnectedTest, a_send_that_times_out_after_its_first_byte_is_still_on_its_way) {
  connect(1024);
  auto [here, there] = channel();
  here.send("before");
  const Failure failure = failure_of([&, channel = here]() mutable { channel.send_bytes(pattern(5000).span(), 5ms); });
  EXPECT_EQ(failure.code, errc::timed_out);
  EXPECT_THAT(failure.text, HasSubstr("still on its way"));
  auto after = later([channel = here]() mutable { channel.send("after"); });
  EXPECT_EQ(there.receive<std::string>(patience), "before");
  EXPECT_EQ(there.receive<Bytes>(patience), pattern(5000));
  EXPECT_EQ(there.receive<std::string>(patience), "after");
  after.get();
}

TEST_F(ConnectedTest, ping_and_status_time_out_and_their_late_answers_do_no_harm) {
  auto script = std::make_shared<Script>(runtime->io());
  End end(runtime, std::make_unique<ScriptStream>(script), {});
  end.start();
  script->gives(frame(ControlKind::hello, 0, detail::encode_pickle(Dict{})));
  EXPECT_THROW(end->ping(in(5ms)), TimeoutError);
  EXPECT_THROW((void)end->status(in(5ms)), TimeoutError);
  script->gives(frame(ControlKind::pong, 0, number(1)) + frame(ControlKind::status_reply, 0, number(2)) +
                frame(ControlKind::pong, 0, number(99)) + frame(ControlKind::pong, 0, number(0)));
  EXPECT_TRUE(test::eventually([&] { return end.owner->pongs == 1; }));
  EXPECT_FALSE(end->finished());
  end->finish({errc::terminated, "", {}});
}

TEST_F(ConnectedTest, ping_status_interrupt_and_terminate_reach_the_other_side) {
  connect();
  controller->ping(in(patience));
  agent->ping(in(patience));
  EXPECT_EQ(controller->status(in(patience)), Value(Dict{{"numchannels", 0}}));
  auto [here, there] = channel();
  controller->interrupt(state_of(here));
  controller->send_ping();
  controller->send_terminate();
  EXPECT_TRUE(test::eventually([&] { return controller.owner->pongs == 1; }));
  EXPECT_EQ(agent.owner->interrupts, 1);
  EXPECT_TRUE(test::eventually([&] { return agent.owner->terminates == 1; }));
}

// --- receivers

TEST_F(ConnectedTest, each_item_goes_to_exactly_one_of_several_receivers) {
  connect(8192);
  auto [here, there] = channel();
  constexpr int count = 4000;
  std::mutex mutex;
  std::multiset<std::int64_t> received;
  std::vector<std::future<Failure>> receivers;
  for (int i = 0; i < 4; ++i)
    receivers.push_back(later([&, channel = here, i]() mutable {
      return failure_of([&] {
        std::int64_t last = -1;
        for (;;) {
          const auto item = i % 2 == 0 ? channel.receive<std::int64_t>() : channel.receive<std::int64_t>(1h);
          EXPECT_GT(item, last);  // in order, for each of them
          last = item;
          const std::lock_guard lock(mutex);
          received.insert(item);
        }
      });
    }));
  for (int i = 0; i < count; ++i) there.send(i);
  there.close();
  for (auto& each : receivers) {
    ASSERT_TRUE(is_ready(each, patience));
    EXPECT_EQ(each.get().code, errc::end_of_channel);
  }
  EXPECT_EQ(received.size(), static_cast<std::size_t>(count));
  EXPECT_EQ(std::set(received.begin(), received.end()).size(), static_cast<std::size_t>(count));
}

TEST_F(ConnectedTest, closing_a_channel_ends_its_receivers_and_senders) {
  connect(1024);
  for (const bool by_peer : {false, true}) {
    auto [here, there] = channel();
    here.send_bytes(pattern(992).span());
    auto receiving = later([channel = here]() mutable { return failure_of([&] { (void)channel.receive(); }); });
    auto sending =
        later([channel = here]() mutable { return failure_of([&] { channel.send_bytes(pattern(900).span()); }); });
    auto waiting = later([channel = here]() mutable { return failure_of([&] { channel.waitclose(); }); });
    EXPECT_FALSE(is_ready(receiving, 3ms) || is_ready(sending, 3ms) || is_ready(waiting, 3ms));
    (by_peer ? there : here).close();
    EXPECT_EQ(receiving.get().code, errc::end_of_channel);
    EXPECT_EQ(sending.get().code, errc::channel_closed);
    EXPECT_EQ(waiting.get().text, "");
    EXPECT_TRUE(here.isclosed());
    EXPECT_THROW(here.send(1), ChannelClosed);
    EXPECT_THROW((void)here.receive(), EndOfChannel);
    here.close();
    here.close("again");
  }
}

TEST_F(ConnectedTest, an_error_of_the_peer_is_raised_once_and_its_text_stays) {
  connect();
  auto [here, there] = channel();
  there.send(1);
  there.close("Traceback:\n  boom\x1b[0m");
  EXPECT_EQ(here.receive<int>(patience), 1);
  try {
    (void)here.receive(patience);
    FAIL();
  } catch (const RemoteError& error) {
    EXPECT_EQ(error.formatted(), "Traceback:\n  boom\x1b[0m");
    EXPECT_STREQ(error.what(), "Traceback:\n  boom\\x1b[0m");
  }
  EXPECT_THROW((void)here.receive(), EndOfChannel);
  EXPECT_NO_THROW(here.waitclose());
  EXPECT_EQ(here.error_text(), "Traceback:\n  boom\x1b[0m");
}

TEST_F(ConnectedTest, an_error_text_that_is_not_UTF_8_does_not_end_the_connection) {
  connect();
  auto [here, there] = channel();
  there.close("caf\xe9");
  EXPECT_EQ(failure_of([&, channel = here]() mutable { channel.waitclose(patience); }).text, "caf?");
  controller->ping(in(patience));
}

// --- handles

TEST_F(ConnectedTest, dropping_the_last_handle_closes_the_channel) {
  connect();
  auto [here, there] = channel();
  {
    const Channel copy = here;
    here = {};
    EXPECT_FALSE(there.isclosed());
  }
  there.waitclose(patience);
  EXPECT_TRUE(there.isclosed());
  EXPECT_EQ(controller->live_channels(), 0U);
}

TEST_F(ConnectedTest, a_channel_travels_as_an_item_and_is_the_same_at_the_other_end) {
  connect();
  auto [here, there] = channel();
  Channel other_there = open(agent);
  there.send(List{1, value_from(other_there)});
  const Value item = here.receive(patience);
  Channel other_here = value_to<Channel>(item.as_list()[1]);
  EXPECT_EQ(other_here.id(), other_there.id());
  other_here.send("hello");
  EXPECT_EQ(other_there.receive<std::string>(patience), "hello");
  here.send(other_here);
  EXPECT_EQ(there.receive<Channel>(patience), other_there);
}

TEST_F(ConnectedTest, a_channel_of_another_connection_is_no_item) {
  connect();
  auto [here, there] = channel();
  EXPECT_EQ(failure_of([&, channel = here, other = there]() mutable { channel.send(other); }).code, errc::bad_channel);
  EXPECT_FALSE(here.isclosed());
  // Nor is one that never was.
  there.send_bytes({});
  (void)here.receive(patience);
  EXPECT_THROW((void)controller->channel(99), LoadError);
  EXPECT_EQ(failure_of([&] { (void)controller->channel(99); }).code, errc::bad_channel);
}

// Row I1.
TEST_F(ConnectedTest, handles_connections_and_runtime_go_in_any_order) {
  for (int order = 0; order < 6; ++order) {
    connect();
    Channel here, there, other, other_there;
    std::tie(here, there) = channel();
    std::tie(other, other_there) = channel();
    there.send(other_there);
    const auto finish = [&] {
      controller->finish({errc::terminated, "", {}});
      agent->finish({errc::terminated, "", {}});
    };
    const auto drop_channels = [&] { here = there = other = other_there = {}; };
    const auto drop_connections = [&] { controller = agent = {}; };
    const auto drop_runtime = [&] { runtime.reset(); };
    switch (order) {
      case 0: drop_channels(), finish(), drop_connections(), drop_runtime(); break;
      case 1: finish(), drop_channels(), drop_connections(), drop_runtime(); break;
      case 2: finish(), drop_connections(), drop_channels(), drop_runtime(); break;
      case 3: drop_runtime(), finish(), drop_connections(), drop_channels(); break;
      case 4: finish(), drop_runtime(), drop_connections(), drop_channels(); break;
      default: {
        // On the thread that does the I/O.
        std::promise<void> gone;
        boost::asio::post(runtime->io(), [&, h = here, c = controller.connection]() mutable {
          drop_channels();
          finish();
          controller = agent = {};
          runtime.reset();
          h = {};
          c.reset();
          gone.set_value();
        });
        runtime->keep_going();
        gone.get_future().get();
      }
    }
    drop_runtime();
    runtime = Runtime::create();
  }
}

// --- bad streams, end to end. Row C9

TEST_F(ConnectedTest, items_of_all_sizes_pass_through_streams_that_take_a_byte_at_a_time) {
  for (const auto& habits : {ChoppyStream::Habits{1, 2}, ChoppyStream::Habits{3, 3}, ChoppyStream::Habits{1000, 2}}) {
    for (const std::uint64_t window : {std::uint64_t{1024}, limits::window, std::uint64_t{0}}) {
      connect(window, Carrier::pipes, habits);
      auto [here, there] = channel();
      auto echo = later([channel = there]() mutable {
        for (int i = 0; i < 12; ++i) channel.send(channel.receive(patience), patience);
      });
      for (const std::size_t size :
           {0UL, 1UL, 8UL, 991UL, 992UL, 993UL, 1024UL, 1025UL, 3000UL, 4096UL, 4097UL, 9000UL}) {
        here.send(pattern(size), patience);
        ASSERT_EQ(here.receive<Bytes>(patience), pattern(size)) << size;
      }
      echo.get();
      controller->finish({errc::terminated, "", {}});
      agent->finish({errc::terminated, "", {}});
    }
  }
}

// --- where blocking is a mistake. Row I5

TEST_F(ConnectedTest, blocking_on_the_thread_that_does_the_IO_would_deadlock_and_leaves_nothing_behind) {
  connect(1024);
  auto [here, there] = channel();
  here.send_bytes(pattern(992).span());
  std::promise<std::vector<Failure>> tried;
  boost::asio::post(runtime->io(), [&, channel = here]() mutable {
    std::vector<Failure> failures;
    const auto attempt = [&](auto what) { failures.push_back(failure_of(what)); };
    attempt([&] { (void)channel.receive(); });
    attempt([&] { (void)channel.receive(1h); });
    attempt([&] { channel.waitclose(); });
    attempt([&] { channel.send_bytes(pattern(900).span()); });
    attempt([&] { channel.send_bytes(pattern(900).span(), 1h); });
    attempt([&] { (void)controller->status({}); });
    attempt([&] { controller->ping({}); });
    attempt([&] { (void)controller->wait_finished({}); });
    tried.set_value(std::move(failures));
  });
  runtime->keep_going();
  for (const Failure& failure : tried.get_future().get()) EXPECT_EQ(failure.code, errc::would_deadlock);
  // What needs no waiting is no mistake, and nothing of the attempts is left behind.
  there.send(1);
  EXPECT_EQ(there.receive<Bytes>(patience).size(), 992U);
  EXPECT_THROW((void)there.receive(10ms), TimeoutError);
  EXPECT_EQ(here.receive<int>(patience), 1);
  here.close();
  there.waitclose(patience);
}

TEST_F(ConnectedTest, an_item_over_the_peers_max_item_is_refused_here) {
  connect();
  auto [here, there] = channel();
  controller->set_peer_max_item(1000);
  EXPECT_NO_THROW(here.send_bytes(pattern(1000).span()));
  const Failure failure = failure_of([&, channel = here]() mutable { channel.send_bytes(pattern(1001).span()); });
  EXPECT_EQ(failure.code, errc::item_too_large);
  EXPECT_FALSE(here.isclosed());
}

TEST_F(ConnectedTest, an_EXEC_reaches_the_owner) {
  connect();
  const auto channel = controller->open_channel();
  controller->send(channel, {ItemKind::exec, bytes_of("request").span()});
  controller->ping(in(patience));
  const std::lock_guard lock(agent.owner->mutex);
  ASSERT_EQ(agent.owner->execs.size(), 1U);
  EXPECT_EQ(agent.owner->execs[0].second, bytes_of("request"));
}

}  // namespace
}  // namespace gangway::testing
