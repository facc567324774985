// Rows F of the fault catalogue (README.md here): remote code that harms itself. Guarantee G7. (F1: stdio_test.cpp)
#include <thread>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class Misbehaviour : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, Misbehaviour, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Misbehaviour, F2_closing_all_descriptors_ends_the_gateway_loudly) {
  Gateway gateway = start();
  (void)lost(gateway.remote_exec("import os, time\nos.closerange(3, 1024)\ntime.sleep(1000)"));
  EXPECT_TRUE(wait_for_no_agents(10s));
}

TEST_P(Misbehaviour, F3_replacing_the_protocol_descriptors_ends_the_gateway_loudly) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import os, time
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3, 256):
            try:
                if fd != null and "pipe" in os.readlink("/proc/self/fd/%d" % fd): os.dup2(null, fd)
            except OSError:
                pass
        time.sleep(1000)
      )");
  const auto error = lost(channel);
  EXPECT_THAT(error.code(), AnyOf(errc::connection_lost, errc::protocol_error));
  EXPECT_TRUE(wait_for_no_agents(10s));
}

TEST_P(Misbehaviour, F3_writing_into_the_protocol_is_a_protocol_error) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import os, time
        for fd in range(3, 256):
            try:
                os.write(fd, b"\xff" * 100)
            except OSError:
                pass
        time.sleep(1000)
      )");
  const auto error = lost(channel);
  EXPECT_EQ(error.code(), errc::protocol_error) << error.what();
  EXPECT_TRUE(wait_for_no_agents(10s));
}

TEST_P(Misbehaviour, F4_holding_the_gil_is_unresponsive_and_recovers) {
  Gateway gateway = start("keepalive=200ms");
  Channel channel = gateway.remote_exec(R"(
        import ctypes
        channel.send("begin")
        ctypes.PyDLL(None).usleep(2500000)
        for item in channel: channel.send(item)
      )");
  EXPECT_EQ(take(channel), "begin");
  for (int i = 0; i < 100; ++i) channel.send(i);
  // The native agent answers pings without the GIL; what it cannot do is run tasks.
  bool was_unresponsive = false;
  for (int i = 0; i < 100; ++i) {
    while (true) {
      try {
        EXPECT_EQ(channel.receive<int>(20ms), i);
        break;
      } catch (const TimeoutError&) {
        was_unresponsive |= gateway.unresponsive().has_value();
      }
    }
  }
  EXPECT_EQ(was_unresponsive, !native());
  EXPECT_TRUE(eventually([&] { return !gateway.unresponsive(); }));
}

TEST_P(Misbehaviour, F4_holding_the_gil_does_not_hold_up_terminate) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import ctypes\nchannel.send(1)\nctypes.PyDLL(None).sleep(100)");
  EXPECT_EQ(take<int>(channel), 1);
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(200ms).killed, ::testing::SizeIs(1));
  EXPECT_LT(Clock::now() - begin, 200ms + 2s);
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
}

TEST_P(Misbehaviour, F5_recursion_without_a_limit) {
  const CrashesAreCrashes plain;
  const auto error = lost(start().remote_exec(R"(
        import resource, sys
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.setrecursionlimit(10 ** 9)
        class Deep:
            def __repr__(self): return repr(self)
        def f(x): return max(0, 0, key=lambda y: f(y))
        f(Deep())
      )"));
  EXPECT_THAT(error.what(), AnyOf(HasSubstr("SIGSEGV"), HasSubstr("SIGABRT"), HasSubstr("SIGKILL")));
}

TEST_P(Misbehaviour, F6_changed_process_state_and_ignored_signals) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import os, signal, sys, time
        os.chdir("/")
        os.umask(0o777)
        for number in range(1, 32):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        sys.stdin = sys.stdout = sys.stderr = None
        sys.path.clear()
        sys.setswitchinterval(1)
        os.environ.clear()
        channel.send(1)
        while True:
            try: time.sleep(1)
            except BaseException: pass
      )");
  EXPECT_EQ(take<int>(channel), 1);
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(200ms).killed, ::testing::SizeIs(1));
  EXPECT_LT(Clock::now() - begin, 200ms + 2s);
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
}

TEST_P(Misbehaviour, F6_leaving_the_process_group_does_not_help) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(
      "import os, time\nos.setsid() if os.getpgrp() != os.getpid() else os.setpgid(0, os.getppid())\n"
      "channel.send(1)\nwhile True: time.sleep(1)");
  try {
    EXPECT_EQ(take<int>(channel), 1);
  } catch (const RemoteError&) {  // the system does not allow it
  }
  (void)group().terminate(200ms);
  EXPECT_THAT(find_survivors(cookie()), IsEmpty());
}

TEST_P(Misbehaviour, F7_monkeypatched_modules_do_not_reach_the_agent) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import _thread, builtins, io, os, pickle, queue, select, struct, sys, threading, time, traceback
        def bad(*args, **kwargs): raise RuntimeError("patched")
        for module, names in (
            (os, "read write readv writev fork dup dup2 getpid close pipe set_blocking"), (time, "sleep monotonic time"),
            (threading, "Thread Lock RLock Event Condition get_ident"), (_thread, "allocate_lock start_new_thread get_ident"),
            (queue, "Queue SimpleQueue"), (select, "poll select"), (pickle, "dumps loads Pickler Unpickler"),
            (struct, "pack unpack Struct"), (io, "BytesIO"), (builtins, "print open")):
            for name in names.split():
                setattr(module, name, bad)
        for item in channel: channel.send(item)
        channel.send("end")
      )");
  for (int i = 0; i < 50; ++i) channel.send(List{i, std::to_string(i)});
  for (int i = 0; i < 50; ++i) EXPECT_EQ(take(channel), (List{i, std::to_string(i)}));
  channel.send(zeros(1'000'000));
  EXPECT_EQ(take(channel).as_bytes().size(), 1'000'000u);
  (void)gateway.ping(patience);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1) << "in a thread of its own";
  channel.close();
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
}

TEST_P(Misbehaviour, F8_a_thousand_threads_use_channels) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import threading
        def work(n):
            channel.send(n)
            channel.receive()
        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(1000)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        channel.send("end")
      )");
  std::vector<bool> seen(1'000);
  for (int i = 0; i < 1'000; ++i) seen.at(take<std::size_t>(channel)) = true;
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 1'000);
  for (int i = 0; i < 1'000; ++i) channel.send(i);
  EXPECT_EQ(take(channel), "end");
}

TEST_P(Misbehaviour, F8_a_thousand_threads_do_not_hold_up_terminate) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import threading
        def work():
            while True: channel.receive()
        for n in range(1000): threading.Thread(target=work, daemon=True).start()
        channel.send(1)
        channel.receive()
      )");
  EXPECT_EQ(take<int>(channel), 1);
  const auto begin = Clock::now();
  EXPECT_THAT(group().terminate(10s).survivors, IsEmpty());
  EXPECT_LT(Clock::now() - begin, 12s);
}

TEST_P(Misbehaviour, F9_leaked_channels_return_their_credit) {
  Gateway gateway = start("window=64K");
  Channel channel = gateway.remote_exec(R"(
        import gc
        for c in channel:  # dropped with what was sent to it
            del c
            gc.collect()
            channel.send(1)
      )");
  for (int i = 0; i < 50; ++i) {
    Channel other = gateway.newchannel();
    other.send(zeros(60'000));
    channel.send(other);
    EXPECT_EQ(take<int>(channel), 1);
    try {  // the far side has closed it, or is about to
      for (;;) other.send(zeros(60'000), patience);
    } catch (const ChannelClosed&) {
    }
  }
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numchannels == 1; }));
}

TEST_P(Misbehaviour, F10_self_referential_items_are_refused_and_nothing_is_half_sent) {
  Channel channel = start().remote_exec(R"(
        cyclic = {}
        cyclic["self"] = [1, (2, cyclic)]
        for bad in (cyclic, [b"x" * 100000, object()], {1: 2, (): [lambda: 0]}):
            try:
                channel.send(bad)
                channel.send("sent")
            except Exception as error:
                channel.send(type(error).__name__)
      )");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(take(channel), "DumpError");
  channel.waitclose(patience);
}

// Without keepalive: a ping would wake whoever sits in a read.
TEST_P(Misbehaviour, F11_use_after_close_and_close_under_use) {
  Channel channel = start("keepalive=off").remote_exec(R"(
        import threading
        other = channel.gateway.newchannel()
        told = []
        def work():
            try:
                for item in other: told.append(item)
                told.append("ended")
            except Exception as error:
                told.append(repr(error))
        threads = [threading.Thread(target=work) for i in range(4)]
        for thread in threads: thread.start()
        channel.send(other)
        channel.receive()
        other.close()
        for thread in threads: thread.join(10)
        for use in (lambda: other.send(1), lambda: other.receive(), lambda: other.waitclose(), lambda: other.close()):
            try:
                told.append(repr(use()))
            except Exception as error:
                told.append(type(error).__name__)
        channel.send(told)
      )");
  const Channel other = take<Channel>(channel);
  channel.send(nullptr);
  EXPECT_EQ(take(channel), (List{"ended", "ended", "ended", "ended", "OSError", "EOFError", "None", "None"}));
}

TEST_P(Misbehaviour, F12_multiprocessing_does_not_touch_the_connection) {
  Gateway gateway = start();
  for (const char* const method : {"fork", "spawn"}) {
    SCOPED_TRACE(method);
    Channel channel = gateway.remote_exec(Source::of_function(R"(
          def work(channel, method):
              import math, multiprocessing
              with multiprocessing.get_context(method).Pool(2) as pool:
                  channel.send(pool.map(math.factorial, range(5)))
        )",
                                                              "work"),
                                          {{"method", method}});
    try {
      EXPECT_EQ(take(channel), (List{1, 1, 2, 6, 24}));
      channel.waitclose(patience);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_P(Misbehaviour, F13_modules_of_the_user_do_not_shadow_the_agent) {
  for (const char* const name : {"gangway.py", "portable.py", "task.py", "keeper.py", "execnet.py", "channel.py"})
    (void)directory().write(name, "raise RuntimeError('shadowed')\n");
  (void)directory().write("mine.py", "value = 5\n");
  const EnvironmentScope path("PYTHONPATH", directory().path());
  Gateway gateway = start("chdir=" + directory().path());
  EXPECT_EQ(ask<int>(gateway, "import mine; channel.send(mine.value)"), 5);
  EXPECT_THAT(remote_error(gateway.remote_exec("import task")), HasSubstr("shadowed"));
  EXPECT_EQ(ask(gateway, "channel.send([1, {2: b'3'}])"), (List{1, Dict{{2, bytes_of("3")}}}));
}

TEST_P(Misbehaviour, F14_exceptions_that_cannot_be_printed) {
  Gateway gateway = start();
  const std::string text = remote_error(gateway.remote_exec(R"(
        class Bad(Exception):
            def __str__(self): raise ValueError("no text")
            __repr__ = __str__
        raise Bad()
      )"));
  EXPECT_THAT(text, AllOf(::testing::StartsWith("Traceback (most recent call last):"), HasSubstr("Bad")));
  EXPECT_THAT(remote_error(gateway.remote_exec(R"(
        class Deep(Exception):
            def __str__(self): return str(self)
        raise Deep()
      )")),
              HasSubstr("Deep"));
  EXPECT_THAT(remote_error(gateway.remote_exec(R"(
        class Odd(Exception):
            def __str__(self): return 5
        raise Odd()
      )")),
              HasSubstr("Odd"));
  EXPECT_THAT(remote_error(gateway.remote_exec("raise ValueError('\\ud800 \\x00 \\x1b[31m')")),
              HasSubstr("ValueError"));
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

// D17
TEST_P(Misbehaviour, D17_huge_error_texts_are_cut_and_escaped) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("raise ValueError('begin' + 'x' * 10_000_000 + '\\x1b[31m the end')");
  try {
    channel.waitclose(patience);
    FAIL() << "no error";
  } catch (const RemoteError& error) {
    EXPECT_LE(error.formatted().size(), limits::error_text);
    EXPECT_GT(error.formatted().size(), 1'000u);
    EXPECT_THAT(error.formatted(), AllOf(::testing::StartsWith("Traceback"), ::testing::EndsWith("the end")));
    EXPECT_EQ(std::string(error.what()).find('\x1b'), std::string::npos);
  }
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  // The same from this side.
  Channel report = gateway.newchannel();
  Channel waiting = gateway.remote_exec(
      "r = channel.receive()\nr.send(0)\ntry: channel.receive()\n"
      "except channel.RemoteError as e: r.send(len(str(e)))");
  waiting.send(report);
  EXPECT_EQ(take<int>(report), 0);
  waiting.close(std::string(1'000'000, 'y'));
  EXPECT_LE(take<std::size_t>(report), limits::error_text);
}

TEST_P(Misbehaviour, F15_nothing_is_delivered_after_terminate) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("import time\nchannel.send(1)\ntime.sleep(0.5)\nchannel.send(2)");
  EXPECT_EQ(take<int>(channel), 1);
  (void)group().terminate(5s);
  EXPECT_THROW((void)channel.receive(0s), EndOfChannel);
  EXPECT_THROW((void)channel.receive(0s), EndOfChannel);
}

TEST_P(Misbehaviour, F16_asyncio_beside_blocking_receives) {
  Channel channel = start().remote_exec(R"(
        import asyncio
        async def main():
            loop = asyncio.get_event_loop()
            ticks = 0
            receive = loop.run_in_executor(None, channel.receive)
            while not receive.done():
                await asyncio.sleep(0.005)
                ticks += 1
                if ticks == 5: channel.send("ticking")
            channel.send((ticks >= 5, receive.result()))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
      )");
  EXPECT_EQ(take(channel), "ticking");
  channel.send(7);
  EXPECT_EQ(take(channel), (Tuple{true, 7}));
  channel.waitclose(patience);
}

}  // namespace
}  // namespace gangway::test
