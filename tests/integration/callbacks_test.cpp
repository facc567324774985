// Channel.setcallback on the far side and Channel::setcallback here: order, ends, errors; and
// sendonly channels, whose other side has dropped all but its callback.
#include <gmock/gmock.h>

#include <future>
#include <mutex>
#include <stdexcept>

#include <signal.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<int> numbers(int count) {
  std::vector<int> all;
  for (int i = 0; i < count; ++i) all.push_back(i);
  return all;
}

// --- callbacks on the far side

class FarCallbacks : public AgentTest {
 protected:
  /// The far side calls `report.send` with what arrives on `watched`, and "end" at last. Its
  /// task goes on, with both objects, until it is sent something.
  void watch() {
    gateway = start();
    report = gateway.newchannel();
    watched = gateway.newchannel();
    task = gateway.remote_exec(R"(
          report, watched = channel.receive()
          watched.setcallback(report.send, endmarker="end")
          report.send("ready")
          what = channel.receive()
          if what == "drop":
              del watched
              import gc
              gc.collect()
              channel.send("dropped")
              channel.receive()
          elif what == "close":
              watched.close()
              channel.send(watched.isclosed())
              channel.receive()
        )");
    task.send(Tuple{value_from(report), value_from(watched)});
    EXPECT_EQ(take(report), "ready");
  }
  void TearDown() override {
    report = watched = task = {};
    gateway = {};
    AgentTest::TearDown();
  }
  Gateway gateway;
  Channel report, watched, task;
};
INSTANTIATE_TEST_SUITE_P(, FarCallbacks, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(FarCallbacks, get_what_was_queued_and_what_follows_in_order) {
  gateway = start();
  report = gateway.newchannel();
  watched = gateway.newchannel();
  for (int i = 0; i < 500; ++i) watched.send(i);
  task = gateway.remote_exec(R"(
        import threading
        report, watched = channel.receive()
        got, threads, end = [], set(), threading.Event()
        def callback(item):
            if item is None:
                end.set()
            else:
                got.append(item)
                threads.add(threading.get_ident())
        watched.setcallback(callback, None)
        channel.send("set")
        end.wait(20)
        channel.send((got, len(threads) <= 2))
      )");
  task.send(Tuple{value_from(report), value_from(watched)});
  for (int i = 500; i < 3'000; ++i) watched.send(i);
  EXPECT_EQ(take(task), "set");
  for (int i = 3'000; i < 5'000; ++i) watched.send(i);
  watched.close();
  EXPECT_EQ(take(task), value_from(std::pair(numbers(5'000), true)));
}

TEST_P(FarCallbacks, endmarker_comes_last_when_this_side_closes) {
  watch();
  watched.send(1);
  watched.close();
  EXPECT_EQ(take(report), 1);
  EXPECT_EQ(take(report), "end");
}

TEST_P(FarCallbacks, endmarker_comes_last_when_this_side_closes_with_an_error) {
  watch();
  watched.send(1);
  watched.close("no more");
  EXPECT_EQ(take(report), 1);
  EXPECT_EQ(take(report), "end");
}

TEST_P(FarCallbacks, endmarker_comes_when_this_side_drops_its_channel) {
  watch();
  watched.send(1);
  watched = {};
  EXPECT_EQ(take(report), 1);
  EXPECT_EQ(take(report), "end");
}

TEST_P(FarCallbacks, endmarker_comes_once_when_the_far_side_closes) {
  watch();
  task.send("close");
  EXPECT_EQ(take(task), true);
  EXPECT_EQ(take(report), "end");
  watched.waitclose(patience);
  EXPECT_TRUE(watched.isclosed());
  watched.close();
  EXPECT_THROW((void)report.receive(50ms), TimeoutError);
}

TEST_P(FarCallbacks, endmarker_comes_when_the_connection_ends) {
  const TemporaryDirectory directory;
  Channel channel = start("env:DIR=" + directory.path()).remote_exec(R"(
        import os
        def callback(item):
            open(os.environ["DIR"] + "/" + item, "w").close()
        channel.setcallback(callback, endmarker="end")
        channel.send("ready")
        channel.waitclose()
      )");
  EXPECT_EQ(take(channel), "ready");
  channel.send("item");
  (void)group().terminate(10s);
  EXPECT_EQ(::access((directory / "item").c_str(), F_OK), 0);
  EXPECT_EQ(::access((directory / "end").c_str(), F_OK), 0);
}

TEST_P(FarCallbacks, endmarker_of_a_channel_that_has_ended_comes_before_setcallback_returns) {
  EXPECT_EQ(ask(start(), R"(
        got = []
        other = channel.gateway.newchannel()
        other.close()
        other.setcallback(got.append, endmarker="end")
        channel.send(list(got))
      )"),
            (List{"end"}));
}

TEST_P(FarCallbacks, error_is_pending_when_the_endmarker_comes) {
  gateway = start();
  watched = gateway.newchannel();
  task = gateway.remote_exec(R"(
        watched = channel.receive()
        def callback(item):
            channel.send(str(watched._getremoteerror()))
        watched.setcallback(callback, endmarker=None)
        channel.send("set")
        channel.receive()
      )");
  task.send(watched);
  EXPECT_EQ(take(task), "set");
  watched.close("the reason");
  EXPECT_EQ(take(task), "the reason");
}

TEST_P(FarCallbacks, waitclose_returns_after_the_endmarker_and_receive_is_refused) {
  task = start().remote_exec(R"(
        got = []
        channel.setcallback(got.append, endmarker="end")
        for refused in (channel.receive, lambda: channel.setcallback(print)):
            try:
                refused()
            except OSError as error:
                channel.send("callback" in str(error))
        import os
        other = channel.gateway.newchannel()
        try:
            other.setcallback(5)
        except TypeError as error:
            channel.send(str(error))
        result = channel.gateway.newchannel()
        channel.send(result)
        channel.waitclose()
        result.send(got)
      )");
  EXPECT_EQ(take(task), true);
  EXPECT_EQ(take(task), true);
  EXPECT_THAT(take<std::string>(task), HasSubstr("not callable"));
  Channel result = take<Channel>(task);
  task.send(1);
  task.send(2);
  task.close();
  EXPECT_EQ(take(result), (List{1, 2, "end"}));
}

TEST_P(FarCallbacks, one_that_raises_closes_its_channel_with_the_traceback_and_others_go_on) {
  watch();
  Channel broken = gateway.newchannel();
  Channel setter = gateway.remote_exec(R"(
        broken = channel.receive()
        ended = []
        def callback(item):
            if item == "end":
                ended.append(item)
            else:
                raise KeyError("not " + item)
        broken.setcallback(callback, endmarker="end")
        channel.send("set")
        try:
            broken.waitclose()
        except channel.RemoteError as error:
            channel.send("not not-this" in str(error))
        channel.send((broken.isclosed(), ended))
      )");
  setter.send(broken);
  EXPECT_EQ(take(setter), "set");
  broken.send("not-this");
  EXPECT_THAT(remote_error(broken), AllOf(StartsWith("Traceback (most recent call last):\n  File"),
                                          HasSubstr("in callback"), HasSubstr("KeyError: 'not not-this'")));
  EXPECT_TRUE(broken.isclosed());
  EXPECT_EQ(take(setter), true);
  EXPECT_EQ(take(setter), (Tuple{true, List{"end"}}));
  watched.send("still");
  EXPECT_EQ(take(report), "still");
}

TEST_P(FarCallbacks, what_one_raises_for_a_queued_item_comes_out_of_setcallback) {
  gateway = start();
  watched = gateway.newchannel();
  watched.send("first");
  watched.send("second");
  task = gateway.remote_exec(R"(
        watched = channel.receive()
        def callback(item):
            raise ValueError(item)
        try:
            watched.setcallback(callback)
        except ValueError as error:
            channel.send(str(error))
        channel.send(watched.receive())
      )");
  task.send(watched);
  EXPECT_EQ(take(task), "first");
  EXPECT_EQ(take(task), "second") << "it has no callback then";
}

TEST_P(FarCallbacks, one_that_blocks_holds_up_callbacks_and_nothing_else) {
  watch();
  Channel blocked = gateway.newchannel();
  Channel setter = gateway.remote_exec(R"(
        import threading
        blocked = channel.receive()
        gate = threading.Event()
        def callback(item):
            channel.send(item)
            gate.wait(20)
        blocked.setcallback(callback)
        channel.send("set")
        for item in channel: channel.send(item * 2)
        gate.set()
      )");
  setter.send(blocked);
  EXPECT_EQ(take(setter), "set");
  blocked.send("called");
  EXPECT_EQ(take(setter), "called");
  watched.send("late");
  EXPECT_THROW((void)report.receive(50ms), TimeoutError) << "one call at a time";
  setter.send(4);
  EXPECT_EQ(take(setter), 8) << "receive goes on";
  EXPECT_EQ(ask(gateway, "channel.send(1)"), 1) << "and so do tasks";
  EXPECT_GE(gateway.remote_status(patience).numchannels, 4);
  setter.close();
  EXPECT_EQ(take(report), "late");
}

TEST_P(FarCallbacks, one_may_send_receive_and_open_channels) {
  task = start().remote_exec(R"(
        other = channel.gateway.newchannel()
        def callback(item):
            channel.send(item)
            fresh = channel.gateway.newchannel()
            other.send(fresh)
            other.send(fresh.receive(20) + item)
        channel.setcallback(callback)
        channel.send(other)
        channel.waitclose()
      )");
  Channel other = take<Channel>(task);
  for (int i = 0; i < 100; ++i) {
    task.send(i);
    EXPECT_EQ(take(task), i);
    take<Channel>(other).send(1000);
    EXPECT_EQ(take(other), 1000 + i);
  }
}

TEST_P(FarCallbacks, dropping_the_object_leaves_us_a_channel_to_send_on) {
  watch();
  task.send("drop");
  EXPECT_EQ(take(task), "dropped");
  EXPECT_THROW((void)take(watched), EndOfChannel);
  watched.waitclose(patience);
  EXPECT_FALSE(watched.isclosed());
  for (int i = 0; i < 100; ++i) watched.send(i);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(take(report), i);
  watched.close();
  EXPECT_EQ(take(report), "end");
  EXPECT_TRUE(watched.isclosed());
  EXPECT_THROW(watched.send(1), ChannelClosed);
}

TEST_P(FarCallbacks, a_registration_outlives_its_task) {
  watch();
  task.send("end");
  task.waitclose(patience);
  for (int i = 0; i < 100; ++i) watched.send(i);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(take(report), i);
}

// --- callbacks here

/// What a callback was called with.
class Calls {
 public:
  [[nodiscard]] auto callback() {
    return [this](Value item) {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    };
  }
  [[nodiscard]] List items() const {
    const std::lock_guard lock(mutex_);
    return items_;
  }
  [[nodiscard]] ::testing::AssertionResult become(const List& wanted) const {
    if (eventually([&] { return items() == wanted; }, patience)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "they are " << to_string(Value(items()));
  }

 private:
  mutable std::mutex mutex_;
  List items_;
};

class Callbacks : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Callbacks, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Callbacks, get_what_was_queued_and_what_follows_in_order) {
  Calls calls;
  Channel channel = start().remote_exec(R"(
        for i in range(500): channel.send(i)
        channel.send(channel.receive())
        for i in range(500, 5000): channel.send(i)
      )");
  EXPECT_EQ(take(channel), 0);
  channel.setcallback(calls.callback(), "end");
  channel.send("go");
  List all;
  for (int i = 1; i < 500; ++i) all.push_back(i);
  all.push_back("go");
  for (int i = 500; i < 5000; ++i) all.push_back(i);
  all.push_back("end");
  EXPECT_TRUE(calls.become(all));
  EXPECT_THROW((void)channel.receive(0s), Error);
}

TEST_P(Callbacks, endmarker_comes_once_however_the_channel_ends) {
  struct Case {
    const char* name;
    const char* source;
    std::function<void(Gateway&, Channel&)> end;
    const char* error;
  };
  const auto go = [](Gateway&, Channel& channel) { channel.send(nullptr); };
  const std::vector<Case> cases{
      {"the task ends", "channel.receive()", go, ""},
      {"the task fails", "channel.receive()\nraise ValueError('failed')", go, "ValueError: failed"},
      {"close here", "channel.receive()", [](Gateway&, Channel& channel) { channel.close(); }, ""},
      {"exit", "channel.receive()", [](Gateway& gateway, Channel&) { gateway.exit(); }, ""},
      {"the agent dies", "channel.receive()\nimport os; os._exit(3)", go, "exit status 3"},
      {"kill", "channel.receive()", [](Gateway& gateway, Channel&) { gateway.kill(); }, "killed by SIGKILL"},
      {"interrupt", "channel.receive()", [](Gateway&, Channel& channel) { channel.interrupt(); },
       "keyboard-interrupted"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Calls calls;
    Gateway gateway = start();
    Channel channel = gateway.remote_exec("channel.send('item')\n" + std::string(one.source));
    channel.setcallback(calls.callback(), "end");
    ASSERT_TRUE(calls.become({"item"}));
    one.end(gateway, channel);
    EXPECT_TRUE(calls.become({"item", "end"}));
    EXPECT_THAT(channel.error_text(), HasSubstr(one.error));
    gateway.exit();
    EXPECT_TRUE(gateway.join(patience));
    EXPECT_EQ(calls.items(), (List{"item", "end"})) << "once";
  }
}

TEST_P(Callbacks, endmarker_comes_when_the_far_side_drops_or_closes_its_end) {
  Gateway gateway = start();
  for (const char* const how : {"del other; gc.collect()", "other.close()"}) {
    Calls calls;
    Channel channel = gateway.remote_exec(R"(
          import gc
          other = channel.gateway.newchannel()
          channel.send(other)
          channel.receive()
          other.send(1)
          )" + std::string(how) + "\n          channel.receive()");
    Channel other = take<Channel>(channel);
    other.setcallback(calls.callback(), "end");
    channel.send(nullptr);
    EXPECT_TRUE(calls.become({1, "end"})) << how;
    other.waitclose(patience);
  }
}

TEST_P(Callbacks, one_that_throws_closes_the_channel_with_its_text) {
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  Channel channel = gateway.remote_exec(R"(
        report = channel.receive()
        report.send("ready")
        channel.send(channel.receive())
        try:
            channel.receive()
        except channel.RemoteError as error:
            report.send(str(error))
        report.send(channel.isclosed())
      )");
  channel.send(report);
  EXPECT_EQ(take(report), "ready");
  channel.setcallback([](const Value& item) {
    if (item == "item") throw std::runtime_error("not this " + to_string(item));
  });
  channel.send("item");
  EXPECT_THAT(take<std::string>(report), HasSubstr("not this 'item'"));
  EXPECT_EQ(take(report), true);
  EXPECT_TRUE(channel.isclosed());
  EXPECT_EQ(ask(gateway, "channel.send(1)"), 1);
}

TEST_P(Callbacks, one_may_send_and_start_tasks_and_channels_travel) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        for other in channel: other.send("hello"); other.send(None)
      )");
  std::promise<Value> done;
  Channel other = gateway.newchannel();
  other.setcallback([&, gateway](const Value& item) mutable {
    if (item == nullptr) done.set_value(ask(gateway, "channel.send('from a callback')"));
  });
  channel.send(other);
  auto result = done.get_future();
  ASSERT_EQ(result.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(result.get(), "from a callback");
}

TEST_P(Callbacks, dropping_the_last_handle_leaves_the_far_side_a_channel_to_send_on) {
  Calls calls;
  Gateway gateway = start();
  Channel report = gateway.newchannel();
  {
    Channel channel = gateway.remote_exec(R"(
          report = channel.receive()
          channel.send("ready")
          try:
              channel.receive()
          except EOFError:
              report.send("ended")
          channel.waitclose(20)
          report.send(channel.isclosed())
          for i in range(100): channel.send(i)
        )");
    channel.send(report);
    EXPECT_EQ(take(channel), "ready");
    channel.setcallback(calls.callback(), "end");
  }
  EXPECT_EQ(take(report), "ended");
  EXPECT_EQ(take(report), false) << "sendonly, which is not closed";
  List all(100);
  for (int i = 0; i < 100; ++i) all[static_cast<std::size_t>(i)] = i;
  all.push_back("end");
  EXPECT_TRUE(calls.become(all));
}

TEST_P(Callbacks, terminate_may_be_called_in_one) {
  Gateway gateway = start();
  Gateway other = start();
  Channel channel = gateway.remote_exec("channel.send(channel.receive())\nchannel.receive()");
  std::promise<TerminateReport> done;
  Calls ends;
  channel.setcallback(
      [&](const Value& item) {
        if (item == "end")
          ends.callback()(item);
        else
          done.set_value(group().terminate(10s));
      },
      "end");
  channel.send("now");
  auto report = done.get_future();
  ASSERT_EQ(report.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(report.get().killed.empty());
  EXPECT_TRUE(group().empty());
  EXPECT_TRUE(ends.become({"end"})) << "a callback that was due runs after it";
  EXPECT_FALSE(other.hasreceiver());
}

TEST_P(Callbacks, calls_of_one_gateway_come_one_at_a_time_in_the_order_of_arrival) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        a, b = channel.gateway.newchannel(), channel.gateway.newchannel()
        channel.send((a, b))
        channel.receive()
        for i in range(1000): (a, b)[i % 3 == 0].send(i)
        channel.receive()
      )");
  auto [a, b] = take<std::pair<Channel, Channel>>(channel);
  Calls calls;
  std::atomic<int> inside = 0, most = 0;
  const auto callback = [&, add = calls.callback()](Value item) mutable {
    most = std::max<int>(most, ++inside);
    add(std::move(item));
    --inside;
  };
  a.setcallback(callback);
  b.setcallback(callback);
  channel.send(nullptr);
  List all;
  for (int i = 0; i < 1000; ++i) all.push_back(i);
  EXPECT_TRUE(calls.become(all)) << "small items leave in the order in which one thread sends them";
  EXPECT_EQ(most, 1);
  gateway.exit();
  EXPECT_TRUE(gateway.join(patience));
}

}  // namespace
}  // namespace gangway::test
