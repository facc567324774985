// What tasks print and read: never the protocol. G7, F1
#include <gmock/gmock.h>

#include <fcntl.h>
#include <unistd.h>

#include "core/file_descriptor.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class Stdio : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Stdio, ::testing::ValuesIn(main_agents()), agent_name);

/// This process's stderr goes into a file meanwhile.
class CapturedStderr {
 public:
  CapturedStderr() : saved_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
    const detail::FileDescriptor file(::open(path_.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600));
    ::dup2(file.get(), STDERR_FILENO);
  }
  ~CapturedStderr() { ::dup2(saved_.get(), STDERR_FILENO); }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;

  [[nodiscard]] std::string text() const {
    const detail::FileDescriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    std::string all;
    char buffer[4096];
    for (ssize_t size; (size = ::read(file.get(), buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(size));
    return all;
  }

 private:
  TemporaryDirectory directory_;
  std::string path_ = directory_ / "stderr";
  detail::FileDescriptor saved_;
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

}  // namespace
}  // namespace gangway::test
