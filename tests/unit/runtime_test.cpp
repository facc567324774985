// Who leads, who follows, who stands by: core/runtime.hpp.
#include "core/runtime.hpp"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <future>
#include <random>
#include <set>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/connected.hpp"

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;
using test::eventually;

class RuntimeTest : public test::LeakCheckedTest {
 protected:
  void TearDown() override {
    runtime.reset();
    LeakCheckedTest::TearDown();
  }
  std::shared_ptr<Runtime> runtime = Runtime::create();
};

Deadline in(std::chrono::nanoseconds time) { return deadline_after(time); }

TEST_F(RuntimeTest, a_wait_that_is_over_already_returns) {
  Waiter waiter(*runtime);
  waiter.notify();
  EXPECT_TRUE(runtime->wait(waiter, {}));
  EXPECT_TRUE(runtime->wait(waiter, in(0s)));  // until it is rearmed
  waiter.rearm();
  EXPECT_FALSE(runtime->wait(waiter, in(0s)));
}

TEST_F(RuntimeTest, a_deadline_ends_the_wait_of_the_leader_and_of_a_follower) {
  const auto start = Clock::now();
  auto follower = std::async(std::launch::async, [&] {
    Waiter waiter(*runtime);
    return runtime->wait(waiter, in(30ms));
  });
  Waiter waiter(*runtime);
  EXPECT_FALSE(runtime->wait(waiter, in(30ms)));
  EXPECT_FALSE(follower.get());
  EXPECT_GE(Clock::now() - start, 30ms);
}

TEST_F(RuntimeTest, a_timeout_beyond_the_clock_is_no_deadline) {
  EXPECT_FALSE(deadline_after({}));
  EXPECT_FALSE(deadline_after(std::chrono::nanoseconds::max()));
  EXPECT_TRUE(deadline_after(0ns));
  EXPECT_TRUE(deadline_after(-5ns));
}

TEST_F(RuntimeTest, the_thread_that_waits_runs_the_handlers) {
  Waiter waiter(*runtime);
  std::thread::id ran_on;
  bool in_handler = false;
  boost::asio::post(runtime->io(), [&] {
    ran_on = std::this_thread::get_id();
    in_handler = Runtime::in_handler();
    waiter.notify();
  });
  EXPECT_TRUE(runtime->wait(waiter, {}));
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  EXPECT_TRUE(in_handler);
  EXPECT_FALSE(Runtime::in_handler());
}

TEST_F(RuntimeTest, a_follower_takes_over_when_the_leader_leaves) {
  // Whoever leads runs the timers: there is always one, while somebody waits.
  Waiter first(*runtime), second(*runtime);
  auto one = std::async(std::launch::async, [&] { return runtime->wait(first, in(20s)); });
  auto two = std::async(std::launch::async, [&] { return runtime->wait(second, in(20s)); });
  std::promise<void> ran;
  boost::asio::steady_timer timer(runtime->io(), 20ms);
  timer.async_wait([&](auto) { first.notify(); });
  EXPECT_TRUE(one.get());
  boost::asio::post(runtime->io(), [&] {
    ran.set_value();
    second.notify();
  });
  EXPECT_EQ(ran.get_future().wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(two.get());
}

TEST_F(RuntimeTest, a_thread_that_does_not_lead_ends_the_wait_of_the_one_that_does) {
  for (int round = 0; round < 50; ++round) {
    Waiter waiter(*runtime);
    auto waiting = std::async(std::launch::async, [&] { return runtime->wait(waiter, in(20s)); });
    if (round % 2 == 0) std::this_thread::yield();
    waiter.notify();
    EXPECT_TRUE(waiting.get());
  }
}

// A handler of one runtime notifies somebody who leads another.
TEST_F(RuntimeTest, runtimes_wake_each_other) {
  const auto other = Runtime::create();
  Waiter there(*other);
  auto waiting = std::async(std::launch::async, [&] { return other->wait(there, in(20s)); });
  std::this_thread::sleep_for(5ms);  // so that it leads; the test passes without, too
  Waiter here(*runtime);
  boost::asio::post(runtime->io(), [&] {
    there.notify();
    here.notify();
  });
  EXPECT_TRUE(runtime->wait(here, in(20s)));
  EXPECT_EQ(waiting.wait_for(10s), std::future_status::ready);
}

TEST_F(RuntimeTest, the_stand_by_does_the_work_when_nobody_waits) {
  std::atomic<int> done{0};
  runtime->keep_going();
  for (int i = 0; i < 10; ++i) {
    boost::asio::post(runtime->io(), [&] { ++done; });
    ASSERT_TRUE(eventually([&] { return done == i + 1; }));
  }
  // It makes room for those who wait, and comes back.
  for (int i = 0; i < 20; ++i) {
    Waiter waiter(*runtime);
    boost::asio::post(runtime->io(), [&] { waiter.notify(); });
    ASSERT_TRUE(runtime->wait(waiter, in(10s)));
    boost::asio::post(runtime->io(), [&] { ++done; });
    ASSERT_TRUE(eventually([&] { return done == 11 + i; }));
  }
}

TEST_F(RuntimeTest, a_timer_fires_after_a_wait_although_nobody_waits_any_more) {
  Waiter waiter(*runtime);
  EXPECT_FALSE(runtime->wait(waiter, in(1ms)));
  std::atomic<bool> fired{false};
  boost::asio::steady_timer timer(runtime->io(), 30ms);
  timer.async_wait([&](auto) { fired = true; });
  EXPECT_TRUE(eventually([&] { return fired.load(); }));
}

struct CountingFlusher final : Runtime::Flusher {
  void flush() override {
    EXPECT_FALSE(Runtime::in_handler());
    ++flushes;
    if (on_flush) on_flush();
  }
  std::atomic<int> flushes{0};
  std::function<void()> on_flush;
};

TEST_F(RuntimeTest, flush_soon_flushes_once_whoever_leads) {
  const auto flusher = std::make_shared<CountingFlusher>();
  runtime->flush_soon(flusher);
  EXPECT_TRUE(eventually([&] { return flusher->flushes == 1; }));
  // While the stand-by leads, and while somebody else does.
  runtime->keep_going();
  runtime->flush_soon(flusher);
  EXPECT_TRUE(eventually([&] { return flusher->flushes == 2; }));
  Waiter waiter(*runtime);
  auto waiting = std::async(std::launch::async, [&] { return runtime->wait(waiter, {}); });
  runtime->flush_soon(flusher);
  EXPECT_TRUE(eventually([&] { return flusher->flushes == 3; }));
  waiter.notify();
  EXPECT_TRUE(waiting.get());
  EXPECT_EQ(flusher->flushes, 3);
}

TEST_F(RuntimeTest, a_flusher_that_is_gone_is_not_flushed) {
  runtime->flush_soon(std::make_shared<CountingFlusher>());
  const auto flusher = std::make_shared<CountingFlusher>();
  runtime->flush_soon(flusher);
  EXPECT_TRUE(eventually([&] { return flusher->flushes == 1; }));
}

TEST_F(RuntimeTest, a_flood_of_flushes_does_not_stop_the_handlers) {
  const auto flusher = std::make_shared<CountingFlusher>();
  std::atomic<bool> stop{false};
  flusher->on_flush = [&, again = runtime.get()] {
    if (!stop) again->flush_soon(flusher);
  };
  runtime->flush_soon(flusher);
  ASSERT_TRUE(eventually([&] { return flusher->flushes > 3; }));
  for (int i = 0; i < 5; ++i) {
    std::atomic<bool> ran{false};
    boost::asio::post(runtime->io(), [&] { ran = true; });
    ASSERT_TRUE(eventually([&] { return ran.load(); }));
    const int before = flusher->flushes;
    ASSERT_TRUE(eventually([&] { return flusher->flushes > before + 2; }));
  }
  stop = true;
  const int last = flusher->flushes;
  runtime.reset();  // waits for the stand-by
  EXPECT_LE(flusher->flushes, last + 1);
}

TEST_F(RuntimeTest, a_handler_that_throws_stops_neither_its_leader_nor_the_others) {
  Waiter waiter(*runtime);
  boost::asio::post(runtime->io(), [] { throw std::bad_alloc(); });
  boost::asio::post(runtime->io(), [&] { waiter.notify(); });
  EXPECT_TRUE(runtime->wait(waiter, in(10s)));
  runtime->keep_going();
  std::atomic<bool> ran{false};
  boost::asio::post(runtime->io(), [] { throw std::runtime_error("a mistake"); });
  boost::asio::post(runtime->io(), [&] { ran = true; });
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
}

TEST_F(RuntimeTest, the_last_handle_may_be_dropped_anywhere) {
  // Never used.
  runtime = Runtime::create();
  // On a thread that waited.
  {
    Waiter waiter(*runtime);
    EXPECT_FALSE(runtime->wait(waiter, in(1ms)));
  }
  runtime = Runtime::create();
  // In a handler that the stand-by runs.
  std::promise<void> dropped;
  runtime->keep_going();
  boost::asio::post(runtime->io(), [last = runtime, &dropped]() mutable {
    last.reset();
    dropped.set_value();
  });
  std::weak_ptr<Runtime> weak = runtime;
  runtime.reset();
  dropped.get_future().get();
  EXPECT_TRUE(weak.expired());
  // In a flusher.
  runtime = Runtime::create();
  auto flusher = std::make_shared<CountingFlusher>();
  std::promise<void> flushed;
  flusher->on_flush = [&, last = runtime]() mutable {
    last.reset();
    flushed.set_value();
  };
  runtime->flush_soon(flusher);
  runtime.reset();
  flushed.get_future().get();
  // With handlers left that nobody will run.
  runtime = Runtime::create();
  const auto token = std::make_shared<int>(0);
  boost::asio::post(runtime->io(), [token] {});
  runtime.reset();
  EXPECT_TRUE(eventually([&] { return token.use_count() == 1; }));
  // On another thread, while the stand-by leads.
  runtime = Runtime::create();
  runtime->keep_going();
  std::this_thread::sleep_for(5ms);
  std::thread([last = std::move(runtime)]() mutable { last.reset(); }).join();
}

TEST_F(RuntimeTest, the_shared_one_is_shared_and_made_anew_after_the_last) {
  auto first = Runtime::shared();
  EXPECT_EQ(first, Runtime::shared());
  const std::weak_ptr<Runtime> weak = first;
  first.reset();
  EXPECT_TRUE(weak.expired());
  EXPECT_TRUE(Runtime::shared());
}

TEST_F(RuntimeTest, many_threads_wait_and_wake_each_other) {
  constexpr std::size_t count = 8;
  struct Mailbox {
    std::mutex mutex;
    Waiter* waiter = nullptr;
    std::uint64_t letters = 0;
  };
  std::array<Mailbox, count> boxes;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> posted{0}, read{0}, by_handler{0};
  const auto post_to = [&](std::size_t to) {
    const std::lock_guard lock(boxes[to].mutex);
    ++boxes[to].letters;
    ++posted;
    if (boxes[to].waiter != nullptr) boxes[to].waiter->notify();
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i));
      Mailbox& box = boxes[i];
      while (!stop) {
        const std::size_t to = random() % count;
        if (random() % 3 == 0)
          boost::asio::post(runtime->io(), [&, to] {
            ++by_handler;
            post_to(to);
          });
        else
          post_to(to);
        if (random() % 100 == 0) runtime->keep_going();
        Waiter waiter(*runtime);
        std::unique_lock lock(box.mutex);
        if (box.letters == 0) {
          box.waiter = &waiter;
          lock.unlock();
          (void)runtime->wait(waiter, in(std::chrono::microseconds(random() % 2000)));
          lock.lock();
          box.waiter = nullptr;
        }
        read += std::exchange(box.letters, 0);
      }
    });
  std::this_thread::sleep_for(2s);
  stop = true;
  for (auto& thread : threads) thread.join();
  runtime->keep_going();
  Waiter last(*runtime);
  boost::asio::post(runtime->io(), [&] { last.notify(); });
  EXPECT_TRUE(runtime->wait(last, in(10s)));
  for (Mailbox& box : boxes) read += box.letters;
  EXPECT_EQ(read, posted);
  EXPECT_GT(by_handler, 100U);
}

TEST_F(RuntimeTest, no_wake_up_is_lost_between_two_threads) {
  Waiter* waiters[2] = {};
  std::mutex mutex;
  std::atomic<int> turn{0};
  constexpr int rounds = 3000;
  const auto play = [&](int me) {
    for (int i = 0; i < rounds; ++i) {
      Waiter waiter(*runtime);
      std::unique_lock lock(mutex);
      while (turn % 2 != me) {
        waiters[me] = &waiter;
        lock.unlock();
        const bool in_time = runtime->wait(waiter, in(20s));
        lock.lock();
        waiters[me] = nullptr;
        waiter.rearm();
        ASSERT_TRUE(in_time) << "round " << i;
      }
      ++turn;
      if (waiters[1 - me] != nullptr) waiters[1 - me]->notify();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(turn, 2 * rounds);
}

}  // namespace
}  // namespace gangway::detail

namespace gangway::testing {
namespace {

// A forked child has none of the threads: it can do nothing with what it has, and leaves.
TEST_F(ConnectedTest, a_forked_child_gets_errors_and_exits) {
  connect();
  Channel here, there;
  std::tie(here, there) = channel();
  std::atomic<bool> stop{false};
  std::thread busy([&, to = here, from = there]() mutable {
    for (int i = 0; !stop; ++i) {
      to.send(i);
      EXPECT_EQ(from.receive<int>(20s), i);
    }
  });
  for (int round = 0; round < 20; ++round) {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      ::alarm(20);  // rather than hang
      int wrong = 0;
      const auto refuses = [&](auto what) { wrong += failure_of(what).code != errc::terminated; };
      refuses([&] { here.send(1); });
      refuses([&] { (void)here.receive(0s); });
      refuses([&] { here.waitclose(0s); });
      refuses([&] { here.close(); });
      refuses([&] { (void)controller->open_channel(); });
      refuses([&] { (void)controller->wait_ready(in(0s)); });
      refuses([&] { controller->ping({}); });
      here = there = {};
      controller = agent = {};
      runtime.reset();
      ::_exit(wrong);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  stop = true;
  busy.join();
  controller->ping(in(20s));
}

}  // namespace
}  // namespace gangway::testing
