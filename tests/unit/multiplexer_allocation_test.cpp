// Row D22: an allocation that fails while a connection reads or writes ends that
// connection at most, and nothing leaks.
#include <gtest/gtest.h>

#include <future>
#include <list>
#include <new>
#include <system_error>

#include <gangway/multi_channel.hpp>

#include "tests/support/connected.hpp"
#include "tests/support/fail_count.hpp"

namespace gangway::testing {
namespace {

Bytes everything() {
  return frame(ControlKind::hello, 0, pattern(300)) + frame(ControlKind::open, 2) +
         item(ItemKind::integer, 1, number(1)) + item(ItemKind::bytes, 1, pattern(5000)) +
         begin(ItemKind::str, 2, 9000, pattern(3000)) + item(ItemKind::str, 2, pattern(5000), Part::middle) +
         frame(ControlKind::ping, 0, number(3)) + item(ItemKind::str, 2, pattern(1000), Part::end) +
         frame(0x99, 0, pattern(400)) +
         frame(ControlKind::close_error, 2, bytes_of("a text that is too long to be kept in the string itself")) +
         frame(ControlKind::close, 1);
}

/// Runs `work` with the first, the second ... allocation failing until it succeeds.
template <class Work>
void for_each_failure(Work work) {
  work(nullptr);  // whatever is allocated once and kept
  std::size_t failures = 0;
  for (;; ++failures) {
    const std::ptrdiff_t before = live_blocks();
    std::optional<FailCount> fail;
    bool failed = false;
    work([&](bool on) {
      if (on) {
        fail.emplace(failures);
      } else {
        failed = fail->failed();
        fail.reset();
      }
    });
    ASSERT_EQ(live_blocks(), before) << "after a failure of allocation " << failures;
    if (!failed) break;
    ASSERT_LT(failures, 10'000U);
  }
  EXPECT_GT(failures, 5U);
}

using Switch = std::function<void(bool)>;

TEST(AllocationFailure, is_contained_while_a_machine_reads) {
  for (const std::size_t step : {std::size_t{1} << 20, std::size_t{700}, std::size_t{13}}) {
    const Bytes stream = everything();
    for_each_failure([&](const Switch& failing) {
      Machine at(Machine::settings_of(Side::controller, 64 * 1024), Machine::Start::fresh);
      const auto channel = at.machine.open();
      if (failing) failing(true);
      bool survived = true;
      try {
        for (auto rest = stream.span(); !rest.empty();) {
          const auto piece = rest.first(std::min(step, rest.size()));
          EXPECT_TRUE(at.machine.feed(piece));
          rest = rest.subspan(piece.size());
          while (at.machine.take(*channel)) {
          }
        }
      } catch (const std::bad_alloc&) {
        survived = false;
      }
      if (failing) failing(false);
      at.machine.fail(errc::protocol_error);
      EXPECT_EQ(at.machine.live(), 0U);
      if (survived && !failing) {
        EXPECT_TRUE(channel->closed);
      }
    });
  }
}

TEST(AllocationFailure, is_contained_while_a_machine_writes) {
  for_each_failure([&](const Switch& failing) {
    Machine at(Side::controller, 64 * 1024);
    std::list<Send> sends;
    for (const std::size_t size : {10UL, 5000UL, 90'000UL, 3UL}) sends.emplace_back(ItemKind::bytes, pattern(size));
    const Bytes small = pattern(100);
    std::size_t started = 0;
    if (failing) failing(true);
    try {
      const auto a = at.machine.open(), b = at.machine.open();
      (void)at.machine.send_now(*b, ItemKind::bytes, small.span());
      for (Send& send : sends) {
        at.machine.send(started % 2 == 0 ? a : b, send);
        ++started;
      }
      at.machine.ping(1);
      std::array<iovec, 16> room;
      for (std::span<const iovec> pieces; !(pieces = at.machine.gather(room)).empty();)
        at.machine.written(pieces[0].iov_len / 2 + 1);
      at.machine.close(a, "an error text that is too long to be kept in the string itself");
    } catch (const std::bad_alloc&) {
    }
    if (failing) failing(false);
    at.machine.fail(errc::protocol_error);
    for (const Send& send : sends) {
      EXPECT_EQ(send.times, started > 0 ? 1 : 0);
      if (started > 0) --started;
    }
    EXPECT_FALSE(at.machine.has_output());
  });
}

// What a caller asked for and did not get has left no trace: the peer understands the rest.
TEST(AllocationFailure, of_a_call_leaves_the_stream_valid) {
  bool failed = true;
  for (std::size_t n = 0; failed; ++n) {
    Machine here(Side::controller, 64 * 1024), there(Side::agent, 64 * 1024);
    const auto channel = here.machine.open();
    std::list<Send> sends;
    for (int i = 0; i < 3; ++i) sends.emplace_back(ItemKind::bytes, pattern(10'000));
    const Bytes small = pattern(100);
    const auto attempt = [](auto what) {
      try {
        what();
      } catch (const std::bad_alloc&) {
      }
    };
    {
      const FailCount fail(n);
      for (Send& send : sends) {
        Multiplexer::ChannelPtr other;
        attempt([&] { (void)here.machine.send_now(*channel, ItemKind::bytes, small.span()); });
        attempt([&] { other = here.machine.open(); });
        attempt([&] { here.machine.ping(1); });
        attempt([&] { here.machine.send(other ? other : channel, send); });
        if (other)
          attempt([&] { here.machine.close(other, "a text that is too long to be kept in the string itself"); });
      }
      failed = fail.failed();
    }
    EXPECT_TRUE(there.feed(here.output())) << there.machine.failure() << ", allocation " << n;
    EXPECT_FALSE(there.machine.mid_frame());
    here.machine.fail(errc::terminated);
  }
}

// Closing takes memory for what is half out: there is a close, or nothing has happened.
TEST(AllocationFailure, of_a_close_leaves_the_channel_and_its_sends_as_they_were) {
  bool failed = true;
  std::size_t n = 0;
  for (; failed; ++n) {
    Machine here(Side::controller, limits::window), there(Side::agent, limits::window);
    const auto channel = here.machine.open();
    Send framed(ItemKind::bytes, pattern(50'000)), begun(ItemKind::bytes, pattern(500'000));
    here.machine.send(channel, framed);
    here.machine.send(channel, begun);
    Bytes stream = here.output(10'000);
    bool closed = true;
    {
      const FailCount fail(n);
      try {
        here.machine.close(channel, "an error text that is too long to be kept in the string itself");
      } catch (const std::bad_alloc&) {
        closed = false;
      }
      failed = fail.failed();
    }
    EXPECT_EQ(channel->closed, closed);
    EXPECT_EQ(framed.times + begun.times, closed ? 2 : 0) << n;
    if (!closed) here.machine.close(channel);
    EXPECT_EQ(framed.times + begun.times, 2) << n;
    stream = stream + here.output();
    EXPECT_TRUE(there.feed(stream)) << there.machine.failure();
    EXPECT_FALSE(there.machine.mid_frame());
    EXPECT_EQ(there.machine.live(), 0U);
  }
  EXPECT_GT(n, 2U);
}

// Everybody who waits is told of the end, with no memory at all.
TEST(AllocationFailure, does_not_keep_the_end_of_a_connection_from_anybody) {
  for (const bool with_waiters : {false, true}) {
    const auto runtime = Runtime::create();
    const auto script = std::make_shared<Script>(runtime->io());
    End end(runtime, std::make_unique<ScriptStream>(script), {});
    end.start();
    script->gives(frame(ControlKind::hello, 0, detail::encode_pickle(Dict{})));
    ASSERT_TRUE(end->wait_ready(in(20s)));
    Channel called = open(end), queued = open(end), received = open(end), sent = open(end);
    std::promise<int> told;
    called.setcallback([&](const Value& value) { told.set_value(static_cast<int>(value.as_int())); }, 7);
    auto queue = MultiChannel({queued}).make_receive_queue(8);
    std::future<Failure> waiting;
    if (with_waiters) {
      waiting = std::async(std::launch::async, [&] { return failure_of([&] { (void)received.receive(20s); }); });
      ASSERT_TRUE(test::eventually([&] { return !state_of(received)->receivers.empty(); }));
    }
    std::optional<boost::system::error_code> result;
    const auto pending = end->send_later(state_of(sent), ItemKind::bytes, pattern(20'000'000),
                                         [&](boost::system::error_code error) { result = error; });
    ConnectionEnd reason{errc::terminated, "the end", {}};
    {
      const FailCount fail(0);
      end->finish(std::move(reason));
    }
    EXPECT_EQ(result, errc::terminated);
    EXPECT_EQ(told.get_future().get(), 7);
    EXPECT_EQ(queue.get(20s).second, Value(8));
    if (with_waiters) {
      EXPECT_EQ(waiting.get().code, errc::terminated);
    }
    EXPECT_TRUE(end->finished());
  }
}

// Registering a callback fails as a whole, or it is registered.
TEST(AllocationFailure, of_setcallback_leaves_a_channel_that_can_be_received_from) {
  const auto runtime = Runtime::create();
  const auto script = std::make_shared<Script>(runtime->io());
  End end(runtime, std::make_unique<ScriptStream>(script), {});
  end.start();
  script->gives(frame(ControlKind::hello, 0, detail::encode_pickle(Dict{})));
  ASSERT_TRUE(end->wait_ready(in(20s)));
  bool failed = true;
  std::size_t n = 0;
  for (; failed && n < 1000; ++n) {
    Channel channel = open(end);
    bool registered = true;
    {
      const FailCount fail(n);
      try {
        channel.setcallback([](const Value&) {}, 1);
      } catch (const std::bad_alloc&) {
        registered = false;
      } catch (const std::system_error&) {  // no thread
        registered = false;
      }
      failed = fail.failed();
    }
    const Failure failure = failure_of([&] { (void)channel.receive(std::chrono::milliseconds(1)); });
    EXPECT_EQ(failure.code, registered ? errc::has_callback : errc::timed_out) << n;
  }
  EXPECT_GT(n, 3U);
  end->finish({errc::terminated, "", {}});
}

// A thread that waits while another one leads, and is notified.
TEST(AllocationFailure, does_not_keep_a_thread_from_waiting) {
  const auto runtime = Runtime::create();
  detail::Waiter leads(*runtime), follows(*runtime);
  auto leader = std::async(std::launch::async, [&] { return runtime->wait(leads, in(20s)); });
  auto follower = std::async(std::launch::async, [&] {
    const FailCount fail(0);
    return runtime->wait(follows, in(20s));
  });
  {
    const FailCount fail(0);
    follows.notify();
  }
  EXPECT_TRUE(follower.get());
  leads.notify();
  EXPECT_TRUE(leader.get());
}

// The connection ends, or the call throws; whoever shares the runtime goes on.
TEST(AllocationFailure, ends_one_connection_and_not_its_neighbour) {
  const auto runtime = Runtime::create();
  const auto neighbour_script = std::make_shared<Script>(runtime->io());
  End neighbour(runtime, std::make_unique<ScriptStream>(neighbour_script), {});
  neighbour.start();
  neighbour_script->gives(frame(ControlKind::hello, 0, detail::encode_pickle(Dict{})));
  ASSERT_TRUE(neighbour->wait_ready(in(20s)));
  Channel beside = open(neighbour);
  const Bytes hello = frame(ControlKind::hello, 0, detail::encode_pickle(Dict{}));
  const Bytes stream = everything();
  const Bytes rest(stream.span().subspan(308));
  std::size_t n = 0;
  // Now and then another thread leads, and takes what would have failed here.
  for (int unharmed = 0; unharmed < 10 && n < 2000; ++n) {
    const auto script = std::make_shared<Script>(runtime->io());
    End end(runtime, std::make_unique<ScriptStream>(script), {});
    end.start();
    Channel channel = open(end);
    script->gives_one_by_one(hello + rest, 900);
    script->gives_end();
    {
      const FailCount fail(n);
      try {
        channel.send_bytes(rest.span());
        (void)channel.receive(20s);
        (void)channel.receive(20s);
        (void)channel.receive(20s);
      } catch (const Error&) {
      } catch (const std::bad_alloc&) {
      }
      unharmed += fail.failed() ? 0 : 1;
    }
    if (!test::eventually([&] { return end->finished(); })) ADD_FAILURE() << "after a failure of allocation " << n;
    neighbour_script->gives(item(ItemKind::integer, 1, number(n)));
    ASSERT_EQ(beside.receive<std::size_t>(20s), n);
  }
  EXPECT_GT(n, 20U);
  neighbour->finish({errc::terminated, "", {}});
}

}  // namespace
}  // namespace gangway::testing
