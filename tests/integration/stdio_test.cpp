// What tasks print and read: never the protocol. G7, F1
#include <gmock/gmock.h>

#include <fcntl.h>
#include <unistd.h>

#include <mutex>
#include <stdexcept>

#include "core/file_descriptor.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class Stdio : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Stdio, ::testing::ValuesIn(main_agents()), agent_name);

/// This process's stdout or stderr goes into a file meanwhile.
class Captured {
 public:
  explicit Captured(int fd) : fd_(fd), saved_(::fcntl(fd, F_DUPFD_CLOEXEC, 3)) {
    const detail::FileDescriptor file(::open(path_.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600));
    ::dup2(file.get(), fd_);
  }
  ~Captured() { ::dup2(saved_.get(), fd_); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  [[nodiscard]] std::string text() const {
    const detail::FileDescriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    std::string all;
    char buffer[4096];
    for (ssize_t size; (size = ::read(file.get(), buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(size));
    return all;
  }

 private:
  const int fd_;
  TemporaryDirectory directory_;
  std::string path_ = directory_ / "captured";
  detail::FileDescriptor saved_;
};

class CapturedStderr : public Captured {
 public:
  CapturedStderr() : Captured(STDERR_FILENO) {}
};

/// What a gateway's output callback was called with.
class Collected {
 public:
  [[nodiscard]] auto callback() {
    return [this](const Output& output) {
      const std::lock_guard lock(mutex_);
      all_.push_back(output);
    };
  }
  /// All text of one stream and channel; any channel without one.
  [[nodiscard]] std::string text(OutputStream stream, std::optional<std::uint32_t> channel = {}) const {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const Output& output : all_)
      if (output.stream == stream && output.channel == channel.value_or(output.channel)) text += output.text;
    return text;
  }
  [[nodiscard]] std::vector<Output> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Output> all_;
};

TEST_P(Stdio, F1_output_of_all_kinds_leaves_the_connection_intact) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import ctypes, os, subprocess, sys
        print("print")
        sys.stdout.write("write" * 10000)
        sys.stdout.flush()
        sys.__stdout__.write("original")
        os.write(1, b"raw" * 100000)
        os.system("echo system")
        subprocess.check_call(["sh", "-c", "echo subprocess; cat"])
        libc = ctypes.CDLL(None)
        libc.puts(b"puts")
        libc.printf(b"printf")
        libc.fflush(None)
        try:
            os.write(0, b"to stdin")
        except OSError:
            pass
        os.fork() or os._exit(os.write(1, b"child") * 0)
        os.wait()
        channel.send("done")
        for item in channel: channel.send(item)
      )");
  EXPECT_EQ(take(channel), "done");
  channel.send(List{1, "two"});
  EXPECT_EQ(take(channel), (List{1, "two"}));
}

TEST_P(Stdio, stdin_is_the_null_device) {
  EXPECT_EQ(ask(start(), R"(
        import os, sys
        channel.send((sys.stdin.read(), os.read(0, 10), os.readlink("/proc/self/fd/0"), os.readlink("/proc/self/fd/1")))
      )"),
            (Tuple{"", Bytes(), "/dev/null", "/dev/null"}));
}

TEST_P(Stdio, closing_or_replacing_the_standard_streams_does_no_harm) {
  Gateway gateway = start();
  EXPECT_EQ(ask(gateway, R"(
        import io, os, sys
        sys.stdout.close()
        sys.stdin.close()
        os.close(0)
        os.close(1)
        sys.stdout = sys.stderr = sys.stdin = None
        channel.send("ok")
      )"),
            "ok");
  EXPECT_EQ(ask<int>(gateway, "print('nowhere'); channel.send(1)"), 1);
}

TEST_P(Stdio, children_do_not_inherit_the_protocol) {
  // A child that holds them would keep the connection from ending.
  EXPECT_EQ(ask(start(), R"(
        import subprocess
        channel.send(subprocess.check_output(["sh", "-c", "ls -l /proc/self/fd | grep -c pipe"]))
      )"),
            Value(bytes_of("2\n")))
      << "its own stdout, and stderr";
}

TEST_P(Stdio, stderr_arrives_here_line_by_line_and_in_the_death_record) {
  Gateway gateway;
  const CapturedStderr captured;
  gateway = start();
  gateway
      .remote_exec(R"(
        import os, sys
        sys.stderr.write("first line\nsecond ")
        sys.stderr.flush()
        os.write(2, b"line\n")
        os.system("echo third line >&2")
      )")
      .waitclose(patience);
  EXPECT_TRUE(eventually([&] { return captured.text() == "first line\nsecond line\nthird line\n"; }))
      << captured.text();
  Channel channel = gateway.remote_exec("import os; os.write(2, b'last words'); os._exit(4)");
  const ConnectionLost error = lost(channel);
  EXPECT_THAT(error.what(), HasSubstr("last words"));
  EXPECT_EQ(error.death().stderr_tail, "first line\nsecond line\nthird line\nlast words");
  EXPECT_TRUE(eventually([&] { return captured.text().ends_with("last words\n"); })) << captured.text();
}

TEST_P(Stdio, lines_of_several_gateways_do_not_mix) {
  std::string text;
  {
    const CapturedStderr captured;
    std::vector<Channel> channels;
    for (const char letter : std::string_view("abc")) {
      Gateway gateway = start();
      channels.push_back(gateway.remote_exec(Source::of_function(R"(
            import os
            def work(channel, letter):
                for i in range(200):
                    for piece in range(4):
                        os.write(2, letter * 25 + (b"\n" if piece == 3 else b""))
          )",
                                                                 "work"),
                                             {{"letter", bytes_of(std::string(1, letter))}}));
    }
    for (Channel& channel : channels) channel.waitclose(patience);
    EXPECT_TRUE(eventually([&] { return captured.text().size() == 3u * 200 * 101; })) << captured.text().size();
    text = captured.text();
  }
  std::size_t wrong = 0;
  for (std::size_t at = 0; at < text.size(); at += 101)
    wrong += text.substr(at, 101) != std::string(100, text[at]) + "\n";
  EXPECT_EQ(wrong, 0u);
}

TEST_P(Stdio, only_the_tail_of_stderr_is_kept) {
  Gateway gateway;
  std::string tail;
  {
    const CapturedStderr captured;
    gateway = start();
    Channel channel =
        gateway.remote_exec("import os\nfor i in range(20000): os.write(2, b'line %07d\\n' % i)\nos._exit(0)");
    tail = lost(channel).death().stderr_tail;
  }
  EXPECT_LE(tail.size(), limits::stderr_tail);
  EXPECT_GT(tail.size(), limits::stderr_tail / 2);
  EXPECT_THAT(tail, EndsWith("line 0019999\n"));
}

class OutputKeys : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, OutputKeys, ::testing::ValuesIn(main_agents()), agent_name);

constexpr auto prints = R"(
    import os, sys
    print("printed", flush=True)
    sys.stderr.write("written\n")
    os.write(2, b"raw\n")
  )";

TEST_P(OutputKeys, without_them_stdout_is_dropped_and_stderr_inherited) {
  const Captured out(STDOUT_FILENO);
  const CapturedStderr err;
  start().remote_exec(prints).waitclose(patience);
  (void)group().terminate(10s);
  EXPECT_EQ(err.text(), "written\nraw\n") << "there when terminate returns";
  EXPECT_EQ(out.text(), "");
}

TEST_P(OutputKeys, forward_brings_whole_lines_to_our_own_streams) {
  const Captured out(STDOUT_FILENO);
  const CapturedStderr err;
  Gateway gateway = start("stdout=forward//stderr=forward");
  gateway.remote_exec(prints).waitclose(patience);
  gateway.remote_exec("print('no line feed', end='')").waitclose(patience);
  EXPECT_TRUE(eventually([&] { return out.text().starts_with("printed\nno line feed"); })) << out.text();
  EXPECT_TRUE(eventually([&] { return err.text().size() == std::string("written\nraw\n").size(); })) << err.text();
  EXPECT_THAT(err.text(), HasSubstr("written\n"));
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 0);
}

TEST_P(OutputKeys, forwarded_lines_of_several_gateways_do_not_mix) {
  std::string text;
  {
    const Captured out(STDOUT_FILENO);
    std::vector<Channel> channels;
    for (const char letter : std::string_view("abc"))
      channels.push_back(start("stdout=forward")
                             .remote_exec(Source::of_function(R"(
            def work(channel, letter):
                for i in range(300):
                    for piece in range(4): print(letter * 25, end="\n" if piece == 3 else "", flush=True)
          )",
                                                              "work"),
                                          {{"letter", std::string(1, letter)}}));
    for (Channel& channel : channels) channel.waitclose(patience);
    EXPECT_TRUE(eventually([&] { return out.text().size() == 3u * 300 * 101; })) << out.text().size();
    text = out.text();
  }
  std::size_t wrong = 0;
  for (std::size_t at = 0; at < text.size(); at += 101)
    wrong += text.substr(at, 101) != std::string(100, text[at]) + "\n";
  EXPECT_EQ(wrong, 0u);
}

TEST_P(OutputKeys, callback_is_told_which_task_printed) {
  Collected told;
  const CapturedStderr err;
  Gateway gateway = start("stdout=callback//stderr=callback//id=talker");
  gateway.set_output(told.callback());
  Channel first = gateway.remote_exec("print('one')\nimport sys\nprint('two', file=sys.stderr)");
  first.waitclose(patience);
  Channel second = gateway.remote_exec("import os\nprint('three')\nos.write(2, b'raw\\n')");
  second.waitclose(patience);
  EXPECT_TRUE(eventually([&] { return told.text(OutputStream::out, second.id()) == "three\n"; }));
  EXPECT_TRUE(eventually([&] { return told.text(OutputStream::err, 0) == "raw\n"; })) << "the process's own stderr";
  EXPECT_EQ(told.text(OutputStream::out, first.id()), "one\n");
  EXPECT_EQ(told.text(OutputStream::err, first.id()), "two\n");
  for (const Output& output : told.all()) EXPECT_EQ(output.gateway, "talker");
  EXPECT_EQ(err.text(), "") << "nothing of it is inherited";
  const ConnectionLost error = lost(gateway.remote_exec("import os; os.write(2, b'last words'); os._exit(4)"));
  EXPECT_THAT(error.death().stderr_tail, EndsWith("raw\nlast words")) << "but the death record has it";
  EXPECT_TRUE(eventually([&] { return told.text(OutputStream::err, 0) == "raw\nlast words\n"; }));
}

TEST_P(OutputKeys, c_code_children_and_threads_print_for_the_only_task) {
  Collected told;
  Gateway gateway = start("stdout=callback");
  gateway.set_output(told.callback());
  Channel channel = gateway.remote_exec(R"(
        import ctypes, os, subprocess, sys, threading
        libc = ctypes.CDLL(None)
        libc.puts(b"puts")
        os.write(1, b"raw\n")
        os.system("echo system")
        subprocess.check_call(["sh", "-c", "echo subprocess"])
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
        pid = os.fork()
        if not pid:
            print("forked")
            os._exit(0)
        os.waitpid(pid, 0)
        sys.stdout.buffer.write(b"buffer\n")
        libc.printf(b"no line feed")
        print("nor here", end="")
      )");
  channel.waitclose(patience);
  const auto all = [&] { return told.text(OutputStream::out, channel.id()); };
  EXPECT_TRUE(eventually([&] {
    const std::string text = all();
    for (const char* const part : {"puts\n", "raw\n", "system\n", "subprocess\n", "thread\n", "forked\n", "buffer\n",
                                   "no line feed", "nor here"})
      if (text.find(part) == text.npos) return false;
    return true;
  })) << all();
  for (const Output& output : told.all()) EXPECT_EQ(output.channel, channel.id()) << output.text;
}

TEST_P(OutputKeys, all_that_a_task_prints_is_sent_before_its_channel_closes) {
  Collected told;
  Gateway gateway = start("stdout=callback");
  gateway.set_output(told.callback());
  for (int i = 0; i < 20; ++i) {
    Channel channel = gateway.remote_exec(R"(
          import ctypes, os
          print("one")
          os.write(1, b"two\n")
          ctypes.CDLL(None).puts(b"three")
          print("four", end="")
        )");
    channel.waitclose(patience);
    // The items are here; only the callback thread may be behind.
    EXPECT_TRUE(eventually([&] {
      return told.text(OutputStream::out, channel.id()).size() == std::string("one\ntwo\nthree\nfour").size();
    })) << told.text(OutputStream::out, channel.id());
  }
}

TEST_P(OutputKeys, tasks_that_print_at_the_same_time_keep_their_lines) {
  Collected told;
  Gateway gateway = start("stdout=callback");
  gateway.set_output(told.callback());
  std::vector<Channel> channels;
  for (int i = 0; i < 4; ++i)
    channels.push_back(gateway.remote_exec(Source::of_function(R"(
          def work(channel, letter):
              channel.send(1)
              channel.receive()
              for i in range(300):
                  for piece in range(4): print(letter * 25, end="\n" if piece == 3 else "")
        )",
                                                               "work"),
                                           {{"letter", std::string(1, static_cast<char>('a' + i))}}));
  for (Channel& channel : channels) EXPECT_EQ(take(channel), 1);
  for (Channel& channel : channels) channel.send(nullptr);
  for (Channel& channel : channels) channel.waitclose(patience);
  for (std::size_t i = 0; i < channels.size(); ++i) {
    std::string wanted;
    for (int line = 0; line < 300; ++line) wanted += std::string(100, static_cast<char>('a' + i)) + "\n";
    EXPECT_TRUE(eventually([&] { return told.text(OutputStream::out, channels[i].id()) == wanted; })) << i;
  }
  for (const Output& output : told.all()) EXPECT_TRUE(output.text.ends_with('\n'));
}

TEST_P(OutputKeys, a_long_line_comes_whole) {
  Collected told;
  Gateway gateway = start("stdout=callback");
  gateway.set_output(told.callback());
  gateway.remote_exec("print('x' * 300000)").waitclose(patience);
  EXPECT_TRUE(eventually([&] { return told.text(OutputStream::out) == std::string(300'000, 'x') + "\n"; }));
}

TEST_P(OutputKeys, terminate_ends_tasks_that_wait_for_a_reader_of_their_output) {
  Gateway gateway = start("stdout=callback//window=16K");
  Channel printing = gateway.remote_exec("channel.send(1)\nfor i in range(3000): print('x' * 999)");
  EXPECT_EQ(take(printing), 1);
  // Both with what Python code writes, and with what comes by the descriptor.
  Channel raw =
      gateway.remote_exec("import os\nchannel.send(1)\nfor i in range(3000): os.write(1, b'x' * 999 + b'\\n')");
  EXPECT_EQ(take(raw), 1);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(group().terminate(10s).killed.empty());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s) << "what they print is dropped from then on";
}

TEST_P(OutputKeys, terminate_ends_a_flood_in_time) {
  Gateway gateway = start("stdout=callback");
  Collected told;
  gateway.set_output([](const Output&) {});
  Channel channel = gateway.remote_exec("channel.send(1)\nwhile True: print('x' * 99)");
  EXPECT_EQ(take(channel), 1);
  const auto begin = std::chrono::steady_clock::now();
  (void)group().terminate(300ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 300ms + 2s);
}

TEST_P(OutputKeys, an_interrupt_ends_a_task_that_waits_for_a_reader_of_its_output) {
  Gateway gateway = start("stdout=callback//window=16K");
  Channel channel = gateway.remote_exec("channel.send(1)\nwhile True: print('x' * 999)");
  EXPECT_EQ(take(channel), 1);
  EXPECT_THROW(channel.waitclose(100ms), TimeoutError);
  gateway.set_output([](const Output&) {});
  EXPECT_TRUE(channel.interrupt(patience));
}

TEST_P(OutputKeys, what_came_before_the_callback_waits_for_it) {
  Collected told;
  Gateway gateway = start("stdout=callback");
  gateway.remote_exec("for i in range(1000): print(i)").waitclose(patience);
  gateway.set_output(told.callback());
  std::string all;
  for (int i = 0; i < 1000; ++i) all += std::to_string(i) + "\n";
  EXPECT_TRUE(eventually([&] { return told.text(OutputStream::out) == all; })) << told.text(OutputStream::out).size();
}

TEST_P(OutputKeys, tasks_wait_while_nobody_takes_their_output) {
  Collected told;
  Gateway gateway = start("stdout=callback//window=16K");
  Channel channel = gateway.remote_exec("for i in range(1000): print('x' * 999)");
  EXPECT_THROW(channel.waitclose(300ms), TimeoutError) << "1 MB is more than window and queue hold";
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 1);
  gateway.set_output(told.callback());
  channel.waitclose(patience);
  EXPECT_TRUE(eventually([&] { return told.text(OutputStream::out).size() == 1'000'000; }));
}

TEST_P(OutputKeys, a_callback_may_throw_be_replaced_and_be_taken_away) {
  Collected told;
  Gateway gateway = start("stdout=callback");
  gateway.set_output([](const Output&) { throw std::runtime_error("not today"); });
  gateway.remote_exec("print('lost')").waitclose(patience);
  EXPECT_TRUE(eventually([&] {
    gateway.set_output(told.callback());
    gateway.remote_exec("print('seen')").waitclose(patience);
    return told.text(OutputStream::out).ends_with("seen\n");
  }));
  gateway.set_output({});
  gateway.remote_exec("print('dropped')").waitclose(patience);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_THAT(told.text(OutputStream::out), ::testing::Not(HasSubstr("dropped")));
}

TEST_P(OutputKeys, callback_without_the_key_is_an_error) {
  Gateway gateway = start("stdout=forward");
  try {
    gateway.set_output([](const Output&) {});
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::bad_spec);
  }
}

}  // namespace
}  // namespace gangway::test
