// Channel::interrupt: KeyboardInterrupt in a task, wherever it is, and nowhere else.
#include <gmock/gmock.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sanitized.hpp"

namespace gangway::test {
namespace {

using ::testing::HasSubstr;

class Interrupts : public AgentTest {
 protected:
  static constexpr auto interrupted = "keyboard-interrupted";

  /// The task's channel once it has said that it is about to begin.
  [[nodiscard]] static Channel begun(Gateway& gateway, std::string_view source) {
    Channel channel = gateway.remote_exec(source);
    EXPECT_EQ(take(channel), "begun");
    return channel;
  }
  /// A task that has the main thread, until its channel is closed: the next one runs in another.
  [[nodiscard]] static Channel occupy_main_thread(Gateway& gateway) {
    return begun(gateway, "channel.send('begun')\nchannel.receive()");
  }
  static void expect_usable(Gateway& gateway) {
    EXPECT_EQ(ask(gateway, "import threading; channel.send(threading.current_thread() is threading.main_thread())"),
              true);
  }
};
INSTANTIATE_TEST_SUITE_P(, Interrupts, ::testing::ValuesIn(main_agents()), agent_name);

constexpr auto loop = "channel.send('begun')\nwhile True: pass";
constexpr auto sleeping = "import time\nchannel.send('begun')\ntime.sleep(1000)";
constexpr auto receiving = "channel.send('begun')\nchannel.receive()";
constexpr auto sending = "channel.send('begun')\nwhile True: channel.send(b'x' * 100000)";
constexpr auto waiting = "channel.send('begun')\nchannel.waitclose()";
constexpr auto in_with = R"(
    import time
    class Resource:
        def __enter__(self): return self
        def __exit__(self, *ignored): channel.send("released")
    with Resource():
        channel.send("begun")
        while True: time.sleep(0.001)
  )";

TEST_P(Interrupts, end_tasks_in_the_main_thread) {
  Gateway gateway = start("window=64K");
  for (const char* const source : {loop, sleeping, receiving, sending, waiting}) {
    Channel channel = begun(gateway, source);
    EXPECT_TRUE(channel.interrupt(patience)) << source;
    EXPECT_EQ(channel.error_text(), interrupted);
    EXPECT_THROW(channel.waitclose(patience), RemoteError);
    expect_usable(gateway);
  }
}

TEST_P(Interrupts, end_tasks_in_other_threads) {
  Gateway gateway = start("window=64K");
  Channel first = occupy_main_thread(gateway);
  for (const char* const source : {loop, sleeping, receiving, sending, waiting}) {
    Channel channel = begun(gateway, source);
    EXPECT_TRUE(channel.interrupt(patience)) << source;
    EXPECT_EQ(channel.error_text(), interrupted);
    EXPECT_EQ(ask(gateway, "channel.send(1)"), 1);
  }
  EXPECT_FALSE(first.isclosed()) << "no other task is hit";
  first.send(nullptr);
  first.waitclose(patience);
}

TEST_P(Interrupts, unwind_the_task) {
  Gateway gateway = start();
  for (int thread = 0; thread < 2; ++thread) {
    const Channel first = thread == 0 ? Channel() : occupy_main_thread(gateway);
    Channel channel = begun(gateway, in_with);
    EXPECT_TRUE(channel.interrupt(patience));
    EXPECT_EQ(take(channel), "released");
    EXPECT_EQ(remote_error(channel), interrupted);
  }
}

TEST_P(Interrupts, of_a_task_that_catches_them_tell_that_it_goes_on) {
  Gateway gateway = start();
  for (int thread = 0; thread < 2; ++thread) {
    const Channel first = thread == 0 ? Channel() : occupy_main_thread(gateway);
    Channel channel = begun(gateway, R"(
          import time
          def wait():
              while True:
                  time.sleep(0.005)
          for what in "begun", "once", "twice":
              try:
                  channel.send(what)
                  wait()
              except KeyboardInterrupt:
                  pass
          channel.send("enough")
        )");
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(channel.interrupt(300ms));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_EQ(take(channel), "once");
    channel.interrupt();
    EXPECT_EQ(take(channel), "twice");
    EXPECT_TRUE(channel.interrupt(patience)) << "it ends well, which is an end";
    EXPECT_EQ(take(channel), "enough");
    channel.waitclose(patience);
  }
}

TEST_P(Interrupts, of_a_task_that_has_ended_do_nothing) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.send('done')");
  channel.waitclose(patience);
  EXPECT_TRUE(channel.interrupt(0s));
  channel.interrupt();
  EXPECT_EQ(take(channel), "done");
  EXPECT_EQ(channel.error_text(), "");
  expect_usable(gateway);
}

TEST_P(Interrupts, of_a_task_that_waits_for_its_turn_end_it_before_it_begins) {
  Gateway gateway = start("execmodel=main_thread_only");
  Channel first = begun(gateway, "channel.send('begun')\nchannel.receive()");
  Channel queued = gateway.remote_exec("channel.send('not to be sent')");
  EXPECT_TRUE(queued.interrupt(patience));
  EXPECT_EQ(queued.error_text(), interrupted);
  EXPECT_FALSE(first.isclosed());
  first.send(nullptr);
  first.waitclose(patience);
  EXPECT_THROW((void)take(queued), RemoteError);
  EXPECT_EQ(ask(gateway, "channel.send(1)"), 1);
}

TEST_P(Interrupts, at_once_after_the_request_are_not_lost) {
  if (thread_sanitized) GTEST_SKIP() << "ThreadSanitizer holds signals back while a thread computes";
  Gateway gateway = start();
  for (int i = 0; i < 50; ++i) {
    Channel channel = gateway.remote_exec("while True: pass");
    ASSERT_TRUE(channel.interrupt(patience)) << i;
    ASSERT_EQ(channel.error_text(), interrupted);
  }
  expect_usable(gateway);
}

TEST_P(Interrupts, as_a_task_begins_to_wait_are_not_lost) {
  Gateway gateway = start();
  for (int thread = 0; thread < 2; ++thread) {
    const Channel first = thread == 0 ? Channel() : occupy_main_thread(gateway);
    for (int i = 0; i < 100; ++i) {
      Channel channel = begun(gateway, i % 2 == 0 ? receiving : waiting);
      ASSERT_TRUE(channel.interrupt(patience)) << i;
    }
  }
}

TEST_P(Interrupts, that_come_late_never_hit_the_next_task) {
  Gateway gateway = start();
  int hit = 0;
  for (int i = 0; i < 300; ++i) {
    Channel channel = gateway.remote_exec("channel.send('begun')");
    EXPECT_EQ(take(channel), "begun");
    channel.interrupt();  // while it ends
    Channel next = gateway.remote_exec("x = sum(range(2000))\nchannel.send(x)");
    ASSERT_EQ(take(next), 1999000) << i;
    next.waitclose(patience);
    try {
      channel.waitclose(patience);
    } catch (const RemoteError& error) {
      EXPECT_EQ(error.formatted(), interrupted);
      ++hit;
    }
  }
  RecordProperty("hit_at_its_end", hit);
}

TEST_P(Interrupts, that_come_late_never_hit_the_next_task_of_another_thread) {
  Gateway gateway = start();
  Channel first = occupy_main_thread(gateway);
  for (int i = 0; i < 200; ++i) {
    Channel channel = gateway.remote_exec("channel.send('begun')");
    EXPECT_EQ(take(channel), "begun");
    channel.interrupt();
    ASSERT_EQ(ask(gateway, "channel.send(sum(range(2000)))"), 1999000) << i;
  }
  EXPECT_FALSE(first.isclosed());
}

TEST_P(Interrupts, cannot_end_c_code_that_holds_the_interpreter_but_kill_can) {
  Gateway gateway = start();
  // PyDLL does not give up the GIL, and no signal ends the wait for a mutex.
  Channel channel = begun(gateway, R"(
        import ctypes
        lock, mutex = ctypes.PyDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(100)
        lock(mutex)
        channel.send("begun")
        lock(mutex)
      )");
  EXPECT_TRUE(eventually([&] {
    try {
      return gateway.remote_status(200ms).unresponsive.count() > 0;
    } catch (const TimeoutError&) {
      return true;  // the portable agent needs the GIL for its answer
    }
  }));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(channel.interrupt(300ms));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  gateway.kill();
  const ConnectionLost error = lost(channel);
  EXPECT_THAT(error.what(), HasSubstr("killed by SIGKILL"));
  EXPECT_TRUE(gateway.join(patience));
  gateway.exit();
}

TEST_P(Interrupts, reach_a_task_under_a_flood_of_items) {
  Gateway gateway = start("window=64K");
  Channel flood = begun(gateway, sending);
  Channel channel = begun(gateway, loop);
  EXPECT_TRUE(channel.interrupt(patience));
  EXPECT_TRUE(flood.interrupt(patience));
}

TEST_P(Interrupts, of_a_channel_that_was_closed_here_tell_nothing) {
  Gateway gateway = start();
  Channel channel = begun(gateway, receiving);
  channel.close();
  EXPECT_FALSE(channel.interrupt(50ms));
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numexecuting == 0; }))
      << "it was told of the end";
  expect_usable(gateway);
}

TEST_P(Interrupts, of_a_lost_gateway_are_over) {
  Gateway gateway = start();
  Channel channel = begun(gateway, loop);
  gateway.kill();
  EXPECT_TRUE(gateway.join(patience));
  EXPECT_TRUE(channel.interrupt(1s)) << "it does not run any more";
}

}  // namespace
}  // namespace gangway::test
