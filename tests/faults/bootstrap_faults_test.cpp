// Rows A of the fault catalogue (README.md here): what may go wrong before an agent answers.
#include "agent_bundle.hpp"
#include "tests/faults/fault_test.hpp"

#include <sys/stat.h>

namespace gangway::test {
namespace {

class Bootstrap : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, Bootstrap, ::testing::ValuesIn(main_agents()), agent_name);

class BootstrapOf : public GroupTest {
 protected:
  TemporaryDirectory directory_;
};

TEST_P(Bootstrap, A1_noise_before_the_marker_is_skipped) {
  EXPECT_EQ(ask<int>(group().makegateway(wrapped("echo 'Welcome to the machine'; echo more noise\nexec \"$@\"")),
                     "channel.send(1)"),
            1);
}

TEST_P(Bootstrap, A2_too_much_noise_is_reported_with_its_beginning) {
  const auto error = start_error(group(), wrapped("echo 'first words'; head -c 70000 /dev/zero\nexec \"$@\""));
  EXPECT_EQ(error.code(), errc::bootstrap_noise);
  EXPECT_THAT(error.what(), HasSubstr("first words"));
}

TEST_P(Bootstrap, A3_an_echoed_or_false_marker_is_noise) {
  EXPECT_EQ(ask<int>(group().makegateway(
                         wrapped("echo '<GW1 00112233445566778899aabbccddeeff>'; printf '<GW1 <GW1 '\nexec \"$@\"")),
                     "channel.send(1)"),
            1);
}

TEST_F(BootstrapOf, A6_no_python_names_the_program) {
  const EnvironmentScope path("PATH", directory_.path());
  const auto error = start_error(group(), "popen//python=python3");
  EXPECT_EQ(error.code(), errc::spawn_failed);
  EXPECT_THAT(error.what(), HasSubstr("python3"));
}

TEST_F(BootstrapOf, A6_exit_status_127_is_explained) {
  const auto error = start_error(group(), "popen//python=/bin/sh -c 'exec no-such-python' x");
  EXPECT_THAT(error.what(), AllOf(HasSubstr("no Python found"), HasSubstr("127"), HasSubstr("no-such-python")));
}

TEST_F(BootstrapOf, A7_an_old_python_is_refused_with_its_version) {
  const char* const home = std::getenv("HOME");
  const std::string real = std::string(home == nullptr ? "" : home) + "/.pyenv/versions/2.7.18/bin/python2.7";
  if (::access(real.c_str(), X_OK) != 0) GTEST_SKIP() << "no Python 2.7 at " << real;
  const auto error = start_error(group(), "popen//python=" + real);
  EXPECT_EQ(error.code(), errc::python_too_old);
  EXPECT_THAT(error.what(), HasSubstr("it is 2.7, 3.6 is needed"));
}

TEST_F(BootstrapOf, A8_python_that_cannot_be_executed) {
  const std::string file = directory_.write("no-program", "text");
  for (const std::string& bad : {directory_.path(), file, directory_ / "absent"}) {
    const auto error = start_error(group(), "popen//python=" + bad);
    EXPECT_EQ(error.code(), errc::spawn_failed);
    EXPECT_THAT(error.what(), HasSubstr(bad));
  }
}

TEST_F(BootstrapOf, A8_python_that_ends_or_says_something_else) {
  EXPECT_THAT(start_error(group(), "popen//python=/bin/true").what(), HasSubstr("exit status 0"));
  EXPECT_THAT(
      start_error(group(), "popen//python=" + directory_.write("f", "#!/bin/sh\necho it is broken >&2\nexit 3\n", true))
          .what(),
      AllOf(HasSubstr("exit status 3"), HasSubstr("it is broken")));
  EXPECT_THAT(
      start_error(group(), "popen//python=" + directory_.write("g", "#!/bin/sh\necho what is this\n", true)).what(),
      HasSubstr("what is this"));
  EXPECT_THAT(start_error(group(), "popen//python=" + directory_.write("h", "#!/bin/sh\nkill -SEGV $$\n", true)).what(),
              HasSubstr("SIGSEGV"));
}

TEST_F(BootstrapOf, A8_python_that_never_answers_is_given_up_in_time) {
  const auto begin = std::chrono::steady_clock::now();
  const auto error =
      start_error(group(), "popen//connect_timeout=300ms//python=" +
                               directory_.write("f", "#!/bin/sh\necho waiting >&2\nexec sleep 1000\n", true));
  EXPECT_EQ(error.code(), errc::bootstrap_timeout);
  EXPECT_THAT(error.what(), HasSubstr("waiting"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 3s));
}

// The deadline of a start may pass in any of its phases.
TEST_P(Bootstrap, A5_a_start_that_is_given_little_time_works_or_fails_and_leaves_nobody) {
  int started = 0, late = 0;
  for (int ms = 1; ms <= 60; ++ms) {
    try {
      Gateway gateway = start("connect_timeout=" + std::to_string(ms) + "ms");
      ASSERT_EQ(ask(gateway, "channel.send(1)"), 1);
      gateway.exit();
      ++started;
    } catch (const StartError& error) {
      ASSERT_EQ(error.code(), errc::bootstrap_timeout) << ms << " ms: " << error.what();
      ++late;
    }
  }
  EXPECT_EQ(started + late, 60);
  EXPECT_TRUE(group().empty());
  EXPECT_TRUE(wait_for_no_agents());
}

TEST_P(Bootstrap, A10_deleted_directory_and_no_home) {
  Gateway gateway =
      group().makegateway(wrapped("mkdir gone-$$ && cd gone-$$ && rmdir ../gone-$$; unset HOME\nexec \"$@\""));
  EXPECT_EQ(ask(gateway, R"(
        import os
        try:
            os.getcwd()
        except OSError:
            channel.send("no directory")
      )"),
            "no directory");
  EXPECT_EQ(ask<int>(group().makegateway(wrapped("HOME=/proc exec \"$@\"")), "channel.send(1)"), 1);
}

TEST_P(Bootstrap, A10_nothing_is_written_to_disk) {
  const TemporaryDirectory home;
  const EnvironmentScope variable("HOME", home.path());
  const EnvironmentScope temporary("TMPDIR", home.path());
  const EnvironmentScope cache("PYTHONDONTWRITEBYTECODE", {});
  (void)start("chdir=" + home.path());
  EXPECT_TRUE(std::filesystem::is_empty(home.path()));
}

TEST_P(Bootstrap, A11_full_and_noexec_tmp) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a mount namespace";
  // Over /tmp itself, unless this build, and so its agent, stands below it.
  const std::string body =
      "exec unshare -m sh -c 'T=/tmp; case \"$1\" in /tmp/*) T=/var/tmp ;; esac; "
      "mount -t tmpfs -o size=4k,noexec tmpfs $T && head -c 4096 /dev/zero >$T/full; "
      "TMPDIR=$T exec \"$@\"' sh \"$@\"";
  EXPECT_EQ(ask<int>(group().makegateway(wrapped(body)), "channel.send(1)"), 1);
}

TEST_P(Bootstrap, A12_ascii_locale_loses_no_text) {
  Gateway gateway = start("env:UNUSED=1");
  const EnvironmentScope all("LC_ALL", "C");
  const EnvironmentScope io("PYTHONIOENCODING", "ascii");
  const EnvironmentScope utf8("PYTHONUTF8", "0");
  const EnvironmentScope coerce("PYTHONCOERCECLOCALE", "0");
  const TemporaryDirectory directory;
  gateway = start("id=\u00e4//env:TEXT=\u20ac//chdir=" + (directory / "\u00fc"));
  Channel channel = gateway.remote_exec(R"(
        import os, sys
        print("\u20ac")
        for item in channel: channel.send(item)
      )");
  const std::string text = "\u00e4\u20ac\U0001f40d";
  channel.send(text);
  EXPECT_EQ(take<std::string>(channel), text);
  EXPECT_EQ(ask<std::string>(gateway, "channel.send(channel.gateway.id)"), "\u00e4-worker");
  EXPECT_TRUE(std::filesystem::is_directory(directory / "\u00fc"));
  EXPECT_THAT(remote_error(gateway.remote_exec("raise ValueError('\u20ac')")), HasSubstr("ValueError: \u20ac"));
}

TEST_P(Bootstrap, A13_umask) {
  EXPECT_EQ(ask<int>(group().makegateway(wrapped("umask 0777\nexec \"$@\"")), "channel.send(1)"), 1);
}

// Whatever is too small: it works, or the error comes in time and says something.
class Limits : public FaultTest {
 protected:
  void try_with(const std::string& prlimit) {
    SCOPED_TRACE(prlimit);
    const auto begin = Clock::now();
    try {
      Gateway gateway = group().makegateway(wrapped("exec prlimit " + prlimit + " \"$@\"", "connect_timeout=10s"));
      Channel channel = gateway.remote_exec("channel.send([channel.receive(), 'ok'])");
      channel.send(1);
      EXPECT_EQ(take(channel), (List{1, "ok"}));
      outcomes_ += prlimit + ": works\n";
    } catch (const Error& error) {  // or when the task starts, if it is that late
      EXPECT_LT(Clock::now() - begin, 10s) << error.what();
      EXPECT_THAT(error.what(), AnyOf(HasSubstr("emory"), HasSubstr("Error"), HasSubstr("Too many"), HasSubstr("SIG"),
                                      HasSubstr("cannot")));
      outcomes_ += prlimit + ": " + error.what() + "\n";
    }
  }
  std::string outcomes_;
};
INSTANTIATE_TEST_SUITE_P(, Limits, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Limits, A14_small_resource_limits_never_hang) {
  if (sanitized && native()) GTEST_SKIP() << "the sanitizers need memory and descriptors of their own";
  for (const char* const limit : {"--nofile=16", "--nofile=8", "--as=200000000", "--as=40000000", "--stack=131072",
                                  "--data=20000000", "--fsize=0", "--core=0"})
    try_with(limit);
  RecordProperty("outcomes", outcomes_);
}

TEST_F(BootstrapOf, A14_no_more_processes) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become a user whose processes are counted";
  ::chmod(directory_.path().c_str(), 0755);
  const std::string wrapper = directory_.write(
      "f", "#!/bin/sh\nexec setpriv --reuid=nobody --regid=nogroup --clear-groups prlimit --nproc=1 \"$@\"\n", true);
  const auto begin = std::chrono::steady_clock::now();
  const auto error = start_error(group(), "popen//python=" + wrapper + " /usr/bin/python3");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  EXPECT_THAT(error.what(), AnyOf(HasSubstr("Resource temporarily unavailable"), HasSubstr("BlockingIOError")))
      << error.what();
}

TEST_P(Bootstrap, A15_non_blocking_descriptors) {
  const std::string script = directory().write("nonblocking.py",
                                               "import os, sys\nfor fd in 0, 1, 2: os.set_blocking(fd, False)\n"
                                               "os.execvp(sys.argv[1], sys.argv[1:])\n");
  Channel channel = group()
                        .makegateway(wrapped("exec /usr/bin/python3 " + script + " \"$@\""))
                        .remote_exec("for item in channel: channel.send(item)");
  for (const std::size_t size : {1u, 70'000u, 3'000'000u}) {
    channel.send(zeros(size));
    EXPECT_EQ(take(channel).as_bytes().size(), size);
  }
}

TEST_P(Bootstrap, A15_closed_descriptors) {
  EXPECT_EQ(ask<int>(group().makegateway(wrapped("exec \"$@\" 2>&-")), "print(1); channel.send(1)"), 1);
  const auto begin = Clock::now();
  (void)start_error(group(), wrapped("exec \"$@\" <&-"));
  (void)start_error(group(), wrapped("exec \"$@\" >&-"));
  (void)start_error(group(), wrapped("exec \"$@\" <&- >&- 2>&-"));
  EXPECT_LT(Clock::now() - begin, 10s);
}

TEST_P(Bootstrap, A16_noisy_and_broken_sitecustomize) {
  const EnvironmentScope path("PYTHONPATH", directory().path());
  (void)directory().write("sitecustomize.py", "import os\nprint('noise', flush=True)\nos.write(1, b'raw noise')\n");
  EXPECT_EQ(ask<int>(start(), "channel.send(1)"), 1);
  (void)directory().write("sitecustomize.py", "raise ValueError('in sitecustomize')\n");
  EXPECT_EQ(ask<int>(start(), "channel.send(1)"), 1);
  (void)directory().write("sitecustomize.py", "import os\nos.write(2, b'leaving early')\nos._exit(9)\n");
  try {
    (void)start();  // an agent may ignore the file
  } catch (const StartError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("exit status 9"), HasSubstr("leaving early")));
  }
}

// Feeds the portable agent's bundle, or what is left of it, to a Python.
class Bundle : public GroupTest {
 protected:
  struct Outcome {
    std::optional<detail::ExitStatus> status;
    std::string out, err;
  };
  [[nodiscard]] static Outcome feed(std::string bundle) {
    const TemporaryDirectory directory;
    const std::string file = directory.write("bundle", bundle);
    const detail::FileDescriptor out(::open((directory / "out").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    const detail::FileDescriptor err(::open((directory / "err").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    detail::Pipe in = detail::make_pipe();
    detail::SpawnRequest request;
    request.argv = {"/usr/bin/python3", "-u", "-c", std::string(detail::portable_stage0)};
    request.descriptors = {{in.read.get(), 0}, {out.get(), 1}, {err.get(), 2}};
    ::fcntl(in.write.get(), F_SETPIPE_SZ, 1 << 20);
    detail::ChildProcess child = detail::ChildProcess::start(request);
    in.read.reset();
    const ssize_t written = ::write(in.write.get(), bundle.data(), bundle.size());
    EXPECT_EQ(written, static_cast<ssize_t>(bundle.size()));
    in.write.reset();
    Outcome outcome;
    outcome.status = child.wait_for(10s);
    std::ifstream read_out(directory / "out");
    std::ifstream read_err(directory / "err");
    outcome.out.assign(std::istreambuf_iterator<char>(read_out), {});
    outcome.err.assign(std::istreambuf_iterator<char>(read_err), {});
    return outcome;
  }
};

TEST_F(Bundle, A17_flipped_bytes_are_found) {
  // Not the last bits before the checksum: they may be padding, and mean nothing.
  const std::size_t end = detail::portable_bundle.size() - 8;
  for (std::size_t at = 0; at < end; at += end / 7) {
    std::string bad(detail::portable_bundle);
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    const Outcome outcome = feed(bad);
    ASSERT_TRUE(outcome.status) << "it hangs, byte " << at;
    EXPECT_NE(outcome.status->code, 0);
    EXPECT_THAT(outcome.err, HasSubstr("gangway: bootstrap corrupt"));
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(Bundle, A17_truncated_and_then_nothing) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, detail::portable_bundle.size() - 1}) {
    const Outcome outcome = feed(std::string(detail::portable_bundle.substr(0, size)));
    ASSERT_TRUE(outcome.status) << "it hangs, " << size << " bytes";
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(Bundle, A17_stage0_survives_any_login_shell) {
  const std::string_view text = detail::portable_stage0;
  EXPECT_LT(text.size(), 1024u);
  EXPECT_EQ(text.find_first_of("'!\n\\"), text.npos);
}

// An agent that a test writes: it finds the nonce in what the controller sends.
class FalseAgent : public BootstrapOf {
 protected:
  /// `body` has: nonce, marker, frame(kind, channel, payload), hello(**more), out(bytes).
  std::string agent(const std::string& body) {
    return "popen//connect_timeout=10s//python=/usr/bin/python3 " + directory_.write("agent.py", R"py(
import io, os, pickle, re, struct, sys, time
data = b""
while True:
    data += os.read(0, 65536)
    found = re.search(rb"nonce(?:\x94)?C\x10(.{16})", data, re.S)
    if found: break
nonce = found.group(1)
marker = b"<GW1 " + (nonce[8:] + nonce[:8]).hex().encode() + b">\n"
def out(data): os.write(1, data)
def frame(kind, channel=0, payload=b""): return struct.pack("<II", kind | len(payload) << 8, channel) + payload
def hello(**more):
    told = dict(protocol=(1, 0), version="0.1.0", max_frame=262144, max_item=1 << 31, capabilities=[], agent="false",
                python="3.11.2", implementation="cpython", executable="x", pid=os.getpid())
    told.update(more)
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 4)
    pickler.fast = True  # no memo, as in spec-docs/items.md
    pickler.dump({k: v for k, v in told.items() if v is not None})
    return frame(0x40, 0, file.getvalue())
)py" + body);
  }
};

TEST_F(FalseAgent, is_believed_when_it_speaks_the_protocol) {
  Gateway gateway = group().makegateway(agent("out(b'noise' + marker + hello())\nos.read(0, 1)\ntime.sleep(1000)"));
  EXPECT_EQ(gateway.info().agent, "false");
  EXPECT_TRUE(gateway.hasreceiver());
}

TEST_F(FalseAgent, A18_another_major_version_is_refused_naming_both) {
  const auto error =
      start_error(group(), agent("out(marker + hello(protocol=(2, 0), version='7.8.9'))\ntime.sleep(1000)"));
  EXPECT_EQ(error.code(), errc::version_mismatch);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("7.8.9"), HasSubstr("(2, 0)"), HasSubstr("0.1.0"), HasSubstr("1.0")));
}

TEST_F(FalseAgent, A18_a_newer_minor_version_and_unknown_keys_are_accepted) {
  Gateway gateway = group().makegateway(
      agent("out(marker + hello(protocol=(1, 9), capabilities=['teleport'], mood='good'))\ntime.sleep(1000)"));
  EXPECT_TRUE(gateway.hasreceiver());
}

TEST_F(FalseAgent, that_cannot_serve_says_why) {
  const auto error = start_error(group(), agent("out(marker + hello(error='no disk\\x1b[31m'))\ntime.sleep(1000)"));
  EXPECT_EQ(error.code(), errc::bootstrap_failed);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("cannot serve: no disk"), Not(HasSubstr("\x1b"))));
}

TEST_F(FalseAgent, that_breaks_the_protocol_is_a_start_error) {
  for (const char* const bad :
       {"out(marker + b'x' * 100)", "out(marker + frame(0x40, 0, b'no pickle'))", "out(marker + hello(protocol=None))",
        "out(marker + frame(0x43, 0, b'12345678'))", "out(marker + struct.pack('<II', 0x40 | 0xffffff << 8, 0))",
        "out(marker + frame(0x40, 0, __import__('pickle').dumps([1, 2])))"}) {
    SCOPED_TRACE(bad);
    const auto begin = std::chrono::steady_clock::now();
    (void)start_error(group(), agent(std::string(bad) + "\ntime.sleep(1000)"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 8s);
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 5s));
  }
}

// D1, D18: the same after the handshake.
TEST_F(FalseAgent, D1_that_breaks_the_protocol_later_loses_the_connection) {
  for (const char* const bad :
       {"frame(0x40)", "hello()", "struct.pack('<II', 0xff | 0xffffff << 8, 0)", "frame(0x31, 1, b'x')", "frame(0x41)",
        "frame(0x7f, 0)", "frame(0x3f, 2)", "frame(0x46, 1, b'12345678')", "frame(0x35, 2, b'x')"}) {
    SCOPED_TRACE(bad);
    Gateway gateway = group().makegateway(
        agent(std::string("out(marker + hello())\ntime.sleep(0.05)\nout(") + bad + " + bytes(8))\ntime.sleep(1000)"));
    try {
      (void)gateway.ping(10s);
      ADD_FAILURE() << "answered";
    } catch (const ConnectionLost& error) {
      EXPECT_EQ(error.code(), errc::protocol_error) << error.what();
    } catch (const TimeoutError&) {
      ADD_FAILURE() << "nothing happened";
    }
    ASSERT_TRUE(wait_for_no_survivors(cookie(), 5s));
  }
}

TEST_P(Bootstrap, A20_two_hundred_at_once) {
  const std::vector<Gateway> all = group().makegateways(std::vector<std::string>(200, spec()));
  EXPECT_EQ(all.size(), 200u);
  EXPECT_EQ(ask<int>(all.back(), "channel.send(1)"), 1);
  EXPECT_THAT(group().terminate(10s).killed, IsEmpty());
}

}  // namespace
}  // namespace gangway::test
