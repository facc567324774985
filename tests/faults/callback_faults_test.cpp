// E6: callbacks that block for ever, raise, or send. Only their channel, or the callbacks of
// their gateway, suffer.
#include <atomic>
#include <future>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class CallbackFaults : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, CallbackFaults, ::testing::ValuesIn(main_agents()), agent_name);

constexpr auto echo = "for item in channel: channel.send(item)";

void expect_echo(Channel& channel, int count = 200) {
  for (int i = 0; i < count; ++i) {
    channel.send(i);
    ASSERT_EQ(take(channel), i);
  }
}

TEST_P(CallbackFaults, E6_one_that_blocks_here_delays_no_other_gateway_and_no_receive) {
  Gateway stuck = start("window=64K");
  Gateway other = start();
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  std::atomic<int> taken = 0;
  // Not before there is a callback: what has come by then is handed over in this thread.
  Channel source = stuck.remote_exec("channel.receive()\nfor i in range(1000): channel.send(bytes(1000))");
  source.setcallback([&, opened](const Value&) {
    ++taken;
    opened.wait();
  });
  source.send(Value());
  EXPECT_TRUE(eventually([&] { return taken == 1; }));

  Channel same = stuck.remote_exec(echo);
  expect_echo(same);
  EXPECT_EQ(stuck.remote_status(patience).numexecuting, 2) << "its sender waits for the window";
  Channel elsewhere = other.remote_exec(echo);
  expect_echo(elsewhere);
  std::atomic<int> called = 0;
  Channel prompt = other.remote_exec("for i in range(100): channel.send(i)");
  prompt.setcallback([&](const Value&) { ++called; });
  EXPECT_TRUE(eventually([&] { return called == 100; }));
  EXPECT_EQ(taken, 1);

  gate.set_value();
  source.waitclose(patience);
  EXPECT_TRUE(eventually([&] { return taken == 1000; }));
}

TEST_P(CallbackFaults, E6_one_that_blocks_for_ever_here_does_not_hold_up_terminate) {
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  std::atomic<bool> entered = false;
  {
    Gateway gateway = start();
    Channel source = gateway.remote_exec("channel.receive()\nchannel.send(1)\nchannel.receive()");
    source.setcallback([&, opened](const Value&) {
      entered = true;
      opened.wait();
    });
    source.send(Value());
    EXPECT_TRUE(eventually([&] { return entered.load(); }));
    const auto begin = Clock::now();
    EXPECT_THAT(group().terminate(5s).killed, IsEmpty());
    EXPECT_LT(Clock::now() - begin, 4s);
    EXPECT_THAT(find_survivors(cookie()), IsEmpty());
  }
  gate.set_value();
}

TEST_P(CallbackFaults, E6_one_that_blocks_for_ever_there_does_not_hold_up_tasks_or_terminate) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import threading
        channel.setcallback(lambda item: threading.Event().wait())
        channel.send("set")
        channel.waitclose()
      )");
  EXPECT_EQ(take(channel), "set");
  channel.send(1);
  Channel other = gateway.remote_exec(echo);
  expect_echo(other);
  const auto begin = Clock::now();
  (void)group().terminate(2s);
  EXPECT_LT(Clock::now() - begin, 4s);
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
}

TEST_P(CallbackFaults, E6_one_that_blocks_there_stops_its_sender_at_the_window) {
  Gateway gateway = start("window=64K");
  Channel channel = gateway.remote_exec(R"(
        import threading
        gate = threading.Event()
        got = []
        def callback(item):
            got.append(len(item))
            gate.wait(20)
        other = channel.receive()
        other.setcallback(callback)
        channel.send("set")
        channel.receive()
        gate.set()
        other.waitclose()
        channel.send(sum(got))
      )");
  Channel blocked = gateway.newchannel();
  channel.send(blocked);
  EXPECT_EQ(take(channel), "set");
  int sent = 0;
  try {
    for (; sent < 1000; ++sent) blocked.send(zeros(1000), 200ms);
  } catch (const TimeoutError&) {
  }
  EXPECT_GT(sent, 30);
  EXPECT_LT(sent, 80) << "64 KiB";
  Channel other = gateway.remote_exec(echo);
  expect_echo(other);
  channel.send(nullptr);
  blocked.close();
  EXPECT_EQ(take(channel), 1000 * sent);
}

TEST_P(CallbackFaults, E6_ones_that_raise_end_their_channels_only) {
  Gateway gateway = start();
  Gateway other = start();
  Channel good = gateway.remote_exec(echo);
  for (int i = 0; i < 20; ++i) {
    Channel far = gateway.remote_exec(R"(
          def callback(item): raise ValueError("far " + item)
          channel.setcallback(callback)
          channel.send("set")
          channel.waitclose()
        )");
    EXPECT_EQ(take(far), "set");
    far.send("away");
    EXPECT_THAT(remote_error(far), HasSubstr("ValueError: far away"));

    Channel here = other.remote_exec(R"(
          channel.receive()
          channel.send("item")
          channel.receive()
        )");
    here.setcallback([](const Value&) { throw std::runtime_error("near"); });
    here.send(nullptr);
    EXPECT_THAT(remote_error(here), HasSubstr("near"));
    expect_echo(good, 5);
  }
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numexecuting == 1; }));
  EXPECT_TRUE(eventually([&] { return other.remote_status(patience).numexecuting == 0; }));
}

TEST_P(CallbackFaults, E6_ones_that_answer_each_other_across_gateways_lose_nothing) {
  Gateway left = start("window=64K");
  Gateway right = start("window=64K");
  constexpr auto bounce = R"(
      channel.setcallback(lambda item: channel.send(item + 1))
      channel.waitclose()
    )";
  Channel a = left.remote_exec(bounce);
  Channel b = right.remote_exec(bounce);
  constexpr int balls = 10, rounds = 200;
  std::atomic<int> done = 0;
  const auto pass_to = [&](Channel to) {
    return [&done, to](const Value& item) mutable {
      if (value_to<int>(item) % 1000 >= rounds)
        ++done;
      else
        to.send(item);
    };
  };
  a.setcallback(pass_to(b));
  b.setcallback(pass_to(a));
  for (int i = 0; i < balls; ++i) a.send(1000 * i);
  EXPECT_TRUE(eventually([&] { return done == balls; }, patience)) << done;
  // Each callback holds a handle of the other's channel.
  (void)group().terminate(10s);
}

TEST_P(CallbackFaults, E6_one_that_waits_for_its_own_end_is_refused) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.receive()\nchannel.send(1)\nchannel.receive()");
  std::promise<std::string> told;
  channel.setcallback([&, channel](const Value&) mutable {
    try {
      channel.waitclose();
    } catch (const Error& error) {
      told.set_value(error.code() == errc::would_deadlock ? "refused" : error.what());
    }
  });
  channel.send(nullptr);
  auto result = told.get_future();
  ASSERT_EQ(result.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(result.get(), "refused");
  gateway.exit();
  EXPECT_TRUE(gateway.join(patience));
}

TEST_P(CallbackFaults, E6_agent_that_dies_with_calls_outstanding_gives_all_of_them_and_the_end) {
  Gateway gateway = start();
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  std::atomic<int> items = 0, ends = 0;
  Channel channel = gateway.remote_exec(
      "report = channel.receive()\nfor i in range(100): channel.send(i)\nreport.send('sent')\nchannel.receive()");
  channel.setcallback(
      [&, opened](const Value& item) {
        opened.wait();
        ++(item == "end" ? ends : items);
      },
      "end");
  Channel report = gateway.newchannel();
  channel.send(report);
  EXPECT_EQ(take(report), "sent");
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).queued.empty(); }));
  gateway.kill();
  EXPECT_TRUE(gateway.join(patience));
  gate.set_value();
  EXPECT_TRUE(eventually([&] { return ends == 1; }));
  EXPECT_EQ(items, 100);
}

}  // namespace
}  // namespace gangway::test
