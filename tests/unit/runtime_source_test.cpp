// The leading thread polls the only byte stream there is, and nobody else is left waiting for it:
// core/runtime.hpp.
#include <gtest/gtest.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <future>

#include <unistd.h>

#include "tests/support/connected.hpp"

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;
using test::eventually;

Deadline in(std::chrono::nanoseconds time) { return deadline_after(time); }

/// A pipe that one thread waits for.
class PipeSource final : public Runtime::Source {
 public:
  PipeSource() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("no pipe");
    pipe_ = {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
  }
  int descriptor() noexcept override { return hidden ? -1 : pipe_.read.get(); }
  void on_ready() override {
    ++calls;
    in_handler = in_handler && Runtime::in_handler();
    ran_on = std::this_thread::get_id();
    if (when_ready) when_ready();
  }
  void write() { ASSERT_EQ(::write(pipe_.write.get(), "x", 1), 1); }
  void drain() {
    char byte;
    while (::read(pipe_.read.get(), &byte, 1) > 0) {
    }
  }
  [[nodiscard]] FileDescriptor duplicate() const { return FileDescriptor(::dup(pipe_.read.get())); }

  std::function<void()> when_ready;
  std::atomic<int> calls{0};
  bool in_handler = true;
  std::atomic<bool> hidden{false};
  std::thread::id ran_on;

 private:
  Pipe pipe_;
};

class RuntimeSource : public test::LeakCheckedTest {
 protected:
  RuntimeSource() { runtime->source_added(); }
  void TearDown() override {
    runtime.reset();
    LeakCheckedTest::TearDown();
  }
  /// From now on the source has something all the time.
  void keep_ready() { source.write(); }

  std::shared_ptr<Runtime> runtime = Runtime::create();
  PipeSource source;
};

TEST_F(RuntimeSource, whoever_waits_for_it_reads_it_as_a_handler) {
  Waiter waiter(*runtime);
  source.when_ready = [&] {
    source.drain();
    waiter.notify();
  };
  source.write();
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
  EXPECT_EQ(source.calls, 1);
  EXPECT_EQ(source.ran_on, std::this_thread::get_id());
  EXPECT_TRUE(source.in_handler);
  EXPECT_FALSE(Runtime::in_handler());
}

TEST_F(RuntimeSource, is_not_polled_by_a_thread_that_waits_for_something_else) {
  source.write();
  Waiter waiter(*runtime);
  EXPECT_FALSE(runtime->wait(waiter, in(10ms)));
  EXPECT_EQ(source.calls, 0);
}

TEST_F(RuntimeSource, is_not_polled_beside_another_one) {
  source.write();
  runtime->source_added();
  Waiter waiter(*runtime);
  EXPECT_FALSE(runtime->wait(waiter, in(10ms), &source));
  EXPECT_EQ(source.calls, 0);
  runtime->source_removed();
  source.when_ready = [&] { waiter.notify(); };
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
}

// Whatever it is: handlers that are posted, timers, descriptors that only Asio watches.
TEST_F(RuntimeSource, that_always_has_something_does_not_hold_up_what_asio_has) {
  keep_ready();
  Waiter waiter(*runtime);
  boost::asio::posix::stream_descriptor other(runtime->io(), source.duplicate().release());
  boost::asio::steady_timer timer(runtime->io(), 1ms);
  bool seen = false, fired = false, posted = false;
  const auto end = [&] {
    if (seen && fired && posted) waiter.notify();
  };
  other.async_wait(boost::asio::posix::stream_descriptor::wait_read, [&](auto) {
    seen = true;
    end();
  });
  timer.async_wait([&](auto) {
    fired = true;
    end();
  });
  boost::asio::post(runtime->io(), [&] {  // not by way of post()
    posted = true;
    end();
  });
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
  EXPECT_TRUE(seen && fired && posted);
  EXPECT_GT(source.calls, 0);
}

TEST_F(RuntimeSource, and_its_deadline_are_not_held_up_by_handlers_without_end) {
  std::function<void()> again = [&] { runtime->post([&] { again(); }); };
  again();
  Waiter waiter(*runtime);
  EXPECT_FALSE(runtime->wait(waiter, in(20ms), &source));
  keep_ready();
  source.when_ready = [&] { waiter.notify(); };
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
  again = [] {};
}

TEST_F(RuntimeSource, that_has_nothing_does_not_hold_up_what_asio_has) {
  Waiter waiter(*runtime);
  boost::asio::steady_timer timer(runtime->io(), 5ms);
  timer.async_wait([&](auto) { waiter.notify(); });
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
  EXPECT_EQ(source.calls, 0);
}

TEST_F(RuntimeSource, what_its_handler_posts_runs_before_the_next_poll) {
  keep_ready();
  Waiter waiter(*runtime);
  int before = 0;
  source.when_ready = [&] {
    if (source.calls > 1) return;
    runtime->post([&] {
      before = source.calls;
      waiter.notify();
    });
  };
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
  EXPECT_EQ(before, 1);
}

TEST_F(RuntimeSource, another_thread_ends_the_wait_of_the_one_that_polls) {
  for (int round = 0; round < 100; ++round) {
    if (round == 50) keep_ready();
    Waiter waiter(*runtime);
    auto waiting = std::async(std::launch::async, [&] { return runtime->wait(waiter, in(20s), &source); });
    if (round % 2 == 0) std::this_thread::yield();
    waiter.notify();
    EXPECT_TRUE(waiting.get());
  }
}

TEST_F(RuntimeSource, a_deadline_ends_the_wait_of_the_thread_that_polls) {
  const auto start = Clock::now();
  Waiter waiter(*runtime);
  EXPECT_FALSE(runtime->wait(waiter, in(30ms), &source));
  keep_ready();
  EXPECT_FALSE(runtime->wait(waiter, in(30ms), &source));
  EXPECT_GE(Clock::now() - start, 60ms);
  EXPECT_GT(source.calls, 0);
}

TEST_F(RuntimeSource, a_second_thread_gets_what_it_waits_for_from_asio) {
  keep_ready();
  Waiter first(*runtime), second(*runtime);
  auto polling = std::async(std::launch::async, [&] { return runtime->wait(first, in(20s), &source); });
  ASSERT_TRUE(eventually([&] { return source.calls > 0; }));
  boost::asio::steady_timer timer(runtime->io());
  auto waiting = std::async(std::launch::async, [&] { return runtime->wait(second, in(20s)); });
  runtime->post([&] {
    timer.expires_after(2ms);
    timer.async_wait([&](auto) { second.notify(); });
  });
  EXPECT_TRUE(waiting.get());
  // It is polled again when nobody else waits.
  first.notify();
  EXPECT_TRUE(polling.get());
  first.rearm();
  source.when_ready = [&] { first.notify(); };
  EXPECT_TRUE(runtime->wait(first, in(20s), &source));
}

TEST_F(RuntimeSource, that_cannot_be_polled_now_is_left_to_asio) {
  source.hidden = true;
  Waiter waiter(*runtime);
  boost::asio::posix::stream_descriptor watched(runtime->io(), source.duplicate().release());
  watched.async_wait(boost::asio::posix::stream_descriptor::wait_read, [&](auto) { waiter.notify(); });
  source.write();
  EXPECT_TRUE(runtime->wait(waiter, in(20s), &source));
  EXPECT_EQ(source.calls, 0);
}

}  // namespace
}  // namespace gangway::detail

namespace gangway::testing {
namespace {

/// Each end has a runtime of its own, as in two processes: both are polled.
class PolledConnection : public test::LeakCheckedTest {
 protected:
  void connect() {
    Multiplexer::Settings settings;
    int to_agent[2], to_controller[2];
    ASSERT_EQ(::pipe2(to_agent, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(to_controller, O_CLOEXEC), 0);
    const auto stream = [](Runtime& runtime, int read_end, int write_end) {
      return std::make_unique<FdStream>(runtime.io(), FileDescriptor(read_end), FileDescriptor(write_end));
    };
    controller = End(here, stream(*here, to_controller[0], to_agent[1]), settings);
    settings.side = Side::agent;
    settings.peer_channels = limits::live_channels;
    agent = End(there, stream(*there, to_agent[0], to_controller[1]), settings);
    controller.start();
    agent.start();
    there->keep_going();  // nobody waits there
    ASSERT_TRUE(controller->wait_ready(in(10s)));
    ASSERT_TRUE(agent->wait_ready(in(10s)));
  }
  std::pair<Channel, Channel> channel() {
    const Channel mine = open(controller);
    controller->ping(in(10s));  // behind OPEN
    return {mine, channel_of(agent, mine.id())};
  }
  void TearDown() override {
    for (End* end : {&controller, &agent}) {
      if (end->connection) end->connection->finish({errc::terminated, "the test is over", {}});
      *end = {};
    }
    here.reset();
    there.reset();
    LeakCheckedTest::TearDown();
  }

  std::shared_ptr<Runtime> here = Runtime::create(), there = Runtime::create();
  End controller, agent;
};

TEST_F(PolledConnection, items_of_all_sizes_go_there_and_back) {
  connect();
  auto [mine, theirs] = channel();
  std::thread echo([to = theirs]() mutable {
    try {
      for (;;) to.send(to.receive<std::string>(20s));
    } catch (const Error&) {
    }
  });
  for (int round = 0; round < 500; ++round) {
    const std::string item(round % 50 == 0 ? 3'000'000 : static_cast<std::size_t>(round), 'x');
    mine.send(item);
    EXPECT_EQ(mine.receive<std::string>(20s), item) << round;
  }
  mine.close();
  echo.join();
}

TEST_F(PolledConnection, the_end_of_the_stream_reaches_the_thread_that_polls) {
  for (int round = 0; round < 20; ++round) {
    connect();
    auto [mine, theirs] = channel();
    auto waiting = std::async(std::launch::async,
                              [&, from = mine]() mutable { return failure_of([&] { (void)from.receive<int>(20s); }); });
    if (round % 2 == 0) theirs.send("before");
    agent->finish({errc::terminated, "gone", {}});
    const Failure failure = waiting.get();
    if (round % 2 != 0) {
      EXPECT_EQ(failure.exit_status, 3) << failure.text;
    }
    mine = theirs = {};
    controller->finish({errc::terminated, "the round is over", {}});
  }
}

TEST_F(PolledConnection, is_closed_under_the_thread_that_polls) {
  for (int round = 0; round < 50; ++round) {
    connect();
    auto [mine, theirs] = channel();
    auto waiting = std::async(std::launch::async,
                              [&, from = mine]() mutable { return failure_of([&] { (void)from.receive<int>(20s); }); });
    if (round % 2 == 0) std::this_thread::yield();
    controller->finish({errc::terminated, "closed by this side", {}});
    EXPECT_EQ(waiting.get().code, errc::terminated);
    mine = theirs = {};
    agent->finish({errc::terminated, "the round is over", {}});
  }
}

// STATUS and pings of the controller are answered while a thread of the agent polls, and while
// nobody waits any more.
TEST_F(PolledConnection, requests_are_answered_whoever_leads) {
  connect();
  auto [mine, theirs] = channel();
  for (int round = 0; round < 100; ++round) {
    auto waiting = std::async(std::launch::async, [from = theirs]() mutable { return from.receive<int>(20s); });
    controller->ping(in(20s));
    EXPECT_EQ(controller->status(in(20s)).as_dict().size(), 1U);
    mine.send(round);
    EXPECT_EQ(waiting.get(), round);
    controller->ping(in(20s));
  }
}

TEST_F(PolledConnection, two_threads_wait_on_channels_of_one_connection) {
  connect();
  auto [mine, theirs] = channel();
  auto [mine2, theirs2] = channel();
  const auto echo = [](Channel to) {
    for (int i = 0; i < 300; ++i) to.send(to.receive<int>(20s));
  };
  const auto play = [](Channel to) {
    for (int i = 0; i < 300; ++i) {
      to.send(i);
      ASSERT_EQ(to.receive<int>(20s), i);
    }
  };
  std::thread threads[] = {std::thread(echo, theirs), std::thread(echo, theirs2), std::thread(play, mine)};
  play(mine2);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gangway::testing
