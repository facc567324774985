// Warm starts: a forked agent is what a fresh one would be, and whatever goes wrong with the
// server costs time only.
#include <gmock/gmock.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/file_descriptor.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sanitized.hpp"

namespace gangway::test {
namespace {

namespace fs = std::filesystem;

constexpr auto hash_source = "channel.send(hash('gangway'))";

// All that user code might look at. What differs from process to process has no number here.
constexpr auto dump_source = R"python(
import sys
before = sorted(set(sys.modules))
import gc, locale, os, re, resource, signal, stat, warnings
def read(name):
    with open(name, "rb") as file:
        return file.read().decode("utf-8", "replace")
def fds(pid):
    found = []
    for fd in sorted(os.listdir("/proc/%s/fd" % pid), key=int):
        try:
            target = os.readlink("/proc/%s/fd/%s" % (pid, fd))
        except OSError:
            continue
        flags = read("/proc/%s/fdinfo/%s" % (pid, fd)).split("flags:\t")[1].split()[0]
        found.append((int(fd), re.sub(r"\d+", "N", target), flags))
    return found
def status(pid):
    volatile = "Pid Tgid PPid NStgid NSpid NSpgid NSsid VmPeak VmSize VmHWM VmRSS RssAnon RssFile RssShmem VmData VmPTE VmLck " \
               "VmPin VmStk VmExe VmLib VmSwap voluntary_ctxt_switches nonvoluntary_ctxt_switches State SigQ FDSize".split()
    return [line for line in read("/proc/%s/status" % pid).splitlines() if line.split(":")[0] not in volatile]
parent = os.getppid()
grandparent = int(read("/proc/%d/stat" % parent).rsplit(")", 1)[1].split()[1])
dump = {
    "modules": before,
    "flags": repr(sys.flags), "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path,
    "executable": sys.executable, "prefix": sys.prefix, "byteorder": sys.dont_write_bytecode,
    "hooks": [repr(hook).split(" at ")[0] for hook in sys.meta_path + sys.path_hooks],
    "cache": sorted(sys.path_importer_cache), "filters": repr(warnings.filters),
    "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()),
    "streams": [(s.fileno(), s.encoding, s.errors, s.line_buffering, s.write_through, s.name, s.mode, s.buffer.raw._blksize
                 if hasattr(s.buffer, "raw") else type(s.buffer).__name__) for s in (sys.stdin, sys.stdout, sys.stderr)],
    "same streams": (sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__),
    "main": sorted(vars(sys.modules["__main__"])), "agent": sorted(vars(sys.modules["_gangway"])),
    "gateway": repr(channel.gateway), "encoding": (sys.getfilesystemencoding(), locale.setlocale(locale.LC_ALL)),
    "environ": sorted(os.environ.items()), "initial environ": read("/proc/self/environ").split("\0"),
    "cmdline": read("/proc/self/cmdline"), "comm": read("/proc/self/comm"), "exe": os.readlink("/proc/self/exe"),
    "cwd": os.getcwd(), "root": os.readlink("/proc/self/root"),
    "ids": (os.getresuid(), os.getresgid(), os.getgroups(), os.getpgrp() == os.getpid(), os.getsid(0),
            os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0)),
    "rlimits": read("/proc/self/limits"), "status": status("self"), "oom": read("/proc/self/oom_score_adj"),
    "cgroup": read("/proc/self/cgroup"), "fds": fds("self"),
    "signals": [(int(number), str(signal.getsignal(number))) for number in sorted(signal.valid_signals())],
    "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "wakeup": signal.getitimer(signal.ITIMER_REAL),
    "keeper": (os.getpgid(parent) == parent, read("/proc/%d/cmdline" % parent), read("/proc/%d/comm" % parent),
               fds(parent), os.getsid(parent)),
    "grandparent": grandparent,
}
for key in sorted(dump):
    channel.send("%s: %r" % (key, dump[key]))
)python";

std::vector<std::string> dump_of(Gateway gateway) {
  Channel channel = gateway.remote_exec(dump_source);
  std::vector<std::string> lines;
  try {
    for (;;) lines.push_back(take<std::string>(channel));
  } catch (const EndOfChannel&) {
  }
  return lines;
}

class Warm : public GroupTest {
 protected:
  void SetUp() override {
#ifndef GANGWAY_TEST_NATIVE
    GTEST_SKIP() << "this build was configured without the native agent";
#endif
    GroupTest::SetUp();
  }

  // Forks of one server share what is random in one process.
  static std::int64_t hash_in(Gateway gateway) { return ask<std::int64_t>(std::move(gateway), hash_source); }
  std::int64_t forced_hash() {
    const EnvironmentScope always("GANGWAY_WARM", "1");
    return hash_in(group().makegateway());
  }

  // The child of ours that reads from the null device: agents have keepers, which have the pipe.
  static pid_t server() {
    for (const auto& [pid, text] : Holdings::now().children) {
      std::error_code gone;
      if (fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/0", gone) == "/dev/null" && !text.starts_with("Z"))
        return pid;
    }
    return -1;
  }
};

void expect_equal_agents(const NativeAgent& agent, pid_t (*server)()) {
  std::vector<std::string> fresh;
  std::vector<std::string> forked;
  {
    Group one;
    one.set_native_agent(agent);
    const EnvironmentScope never("GANGWAY_WARM", "0");
    fresh = dump_of(one.makegateway());
  }
  {
    Group one;
    one.set_native_agent(agent);
    const EnvironmentScope always("GANGWAY_WARM", "1");
    forked = dump_of(one.makegateway());
    EXPECT_NE(server(), -1);
  }
  // The variable is there for this comparison only.
  for (auto* lines : {&fresh, &forked})
    for (std::string& line : *lines)
      for (const std::string_view value :
           {"GANGWAY_WARM=0", "GANGWAY_WARM=1", "'GANGWAY_WARM', '0'", "'GANGWAY_WARM', '1'"})
        if (const auto at = line.find(value); at != line.npos) line.replace(at, value.size(), "GANGWAY_WARM");
  EXPECT_GT(fresh.size(), 30u);
  EXPECT_THAT(forked, ::testing::ElementsAreArray(fresh));
}

TEST_F(Warm, a_forked_agent_equals_a_fresh_one) { expect_equal_agents({}, server); }

TEST_F(Warm, a_forked_interpreter_that_loaded_the_agent_equals_a_fresh_one) {
  const NativeAgent agent = extension_agent();
  if (agent.command.empty()) GTEST_SKIP() << "no extension module that this interpreter can load";
  expect_equal_agents(agent, server);
}

TEST_F(Warm, agents_of_one_server_are_forks_and_others_are_not) {
  const auto one = forced_hash();
  EXPECT_EQ(forced_hash(), one);
  const EnvironmentScope never("GANGWAY_WARM", "0");
  EXPECT_NE(hash_in(group().makegateway()), one);
}

TEST_F(Warm, server_comes_with_the_second_gateway_and_goes_with_the_group) {
  const EnvironmentScope automatic("GANGWAY_WARM", {});
  const Gateway first = group().makegateway();
  EXPECT_EQ(server(), -1) << "one gateway needs no server";
  const Gateway second = group().makegateway();
  EXPECT_TRUE(eventually([] { return server() != -1; }, patience));
  std::int64_t last = hash_in(second);
  EXPECT_TRUE(eventually([&] { return std::exchange(last, hash_in(group().makegateway())) == last; }, patience));
  (void)group().terminate(patience);
  EXPECT_TRUE(find_survivors(cookie()).empty()) << "terminate leaves nothing";
}

TEST_F(Warm, many_at_once_share_a_server) {
  const EnvironmentScope automatic("GANGWAY_WARM", {});
  std::set<std::int64_t> hashes;
  for (const Gateway& gateway : group().makegateways(std::vector<std::string>(20, "popen")))
    hashes.insert(hash_in(gateway));
  EXPECT_LT(hashes.size(), 20u);
}

// Each with a server that was started before.
TEST_F(Warm, what_has_changed_since_reaches_the_next_agent) {
  const auto before = forced_hash();
  const EnvironmentScope automatic("GANGWAY_WARM", {});
  {
    const EnvironmentScope variable("GANGWAY_TEST_VARIABLE", "new");
    const Gateway gateway = group().makegateway();
    EXPECT_EQ(ask<std::string>(gateway, "import os; channel.send(os.environ['GANGWAY_TEST_VARIABLE'])"), "new");
    EXPECT_NE(hash_in(gateway), before);
  }
  {
    const mode_t mask = ::umask(0123);
    const Gateway gateway = group().makegateway();
    ::umask(mask);
    EXPECT_EQ(ask<int>(gateway, "import os; channel.send(os.umask(0))"), 0123);
  }
  {
    const TemporaryDirectory directory;
    const fs::path here = fs::current_path();
    fs::current_path(directory.path());
    const Gateway gateway = group().makegateway();
    fs::current_path(here);
    EXPECT_EQ(ask<std::string>(gateway, "import os; channel.send(os.getcwd())"), directory.path());
  }
  {
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_CORE, &limit), 0);
    const rlimit lower{limit.rlim_cur == 0 ? limit.rlim_max : 0, limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_CORE, &lower), 0);
    const Gateway gateway = group().makegateway();
    ASSERT_EQ(::setrlimit(RLIMIT_CORE, &limit), 0);
    EXPECT_EQ(ask<std::int64_t>(gateway, "import resource; channel.send(resource.getrlimit(resource.RLIMIT_CORE)[0])"),
              static_cast<std::int64_t>(lower.rlim_cur));
  }
  const Gateway gateway = group().makegateway("popen//dont_write_bytecode");
  EXPECT_TRUE(ask<bool>(gateway, "import sys; channel.send(sys.flags.dont_write_bytecode == 1)"));
}

TEST_F(Warm, options_of_the_interpreter_are_a_state_of_their_own) {
  const auto ordinary = forced_hash();
  const EnvironmentScope always("GANGWAY_WARM", "1");
  const Gateway first = group().makegateway("popen//no_site");
  const Gateway second = group().makegateway("popen//no_site");
  EXPECT_NE(hash_in(first), ordinary);
  EXPECT_EQ(hash_in(first), hash_in(second)) << "without site it can be forked as well";
  for (const Gateway& gateway : {first, second})
    EXPECT_EQ(ask<int>(gateway, "import sys; channel.send(sys.flags.no_site)"), 1);
  EXPECT_EQ(ask<int>(group().makegateway(), "import sys; channel.send(sys.flags.no_site)"), 0);
}

TEST_F(Warm, keys_of_the_spec_are_applied_to_forks) {
  const TemporaryDirectory directory;
  const auto hash = forced_hash();
  const EnvironmentScope always("GANGWAY_WARM", "1");
  const Gateway gateway =
      group().makegateway("popen//nice=3//chdir=" + directory.path() + "//env:NAME=value//execmodel=main_thread_only");
  EXPECT_EQ(hash_in(gateway), hash);
  EXPECT_EQ(ask<std::string>(gateway,
                             "import os; channel.send('%d %s %s %s' % (os.nice(0), os.getcwd(), "
                             "os.environ['NAME'], channel.gateway.execmodel.backend))"),
            std::to_string(::getpriority(PRIO_PROCESS, 0) + 3) + " " + directory.path() + " value main_thread_only");
}

TEST_F(Warm, relative_paths_are_those_of_the_new_working_directory) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "modules");
  const EnvironmentScope path("PYTHONPATH", "modules");
  (void)forced_hash();
  const EnvironmentScope always("GANGWAY_WARM", "1");
  EXPECT_TRUE(ask<bool>(group().makegateway("popen//chdir=" + directory.path()),
                        "import sys; channel.send('" + (directory / "modules") + "' in sys.path)"));
}

// What site does in an agent, it has to do in each.
TEST_F(Warm, start_up_code_that_a_fork_would_not_repeat_forbids_it) {
  for (const std::string code :
       {"import sys; sys.stderr.write('hello\\n')",
        "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "import os; os.open('/dev/null', 0)"}) {
    SCOPED_TRACE(code);
    const TemporaryDirectory directory;
    directory.write("sitecustomize.py", code + "\n");
    const EnvironmentScope path("PYTHONPATH", directory.path());
    EXPECT_NE(forced_hash(), forced_hash());
  }
}

TEST_F(Warm, start_up_code_that_has_changed_is_run) {
  const TemporaryDirectory directory;
  const EnvironmentScope no_bytecode("PYTHONDONTWRITEBYTECODE", "1");
  const EnvironmentScope path("PYTHONPATH", directory.path());
  directory.write("sitecustomize.py", "import sys; sys.gangway_test = 1\n");
  const auto hash = forced_hash();
  EXPECT_EQ(forced_hash(), hash);
  directory.write("sitecustomize.py", "import sys; sys.gangway_test = 22\n");
  const EnvironmentScope always("GANGWAY_WARM", "1");
  EXPECT_EQ(ask<int>(group().makegateway(), "import sys; channel.send(sys.gangway_test)"), 22);
}

TEST_F(Warm, an_agent_that_was_replaced_is_started) {
  const TemporaryDirectory directory;
  const std::string copy = directory / "gangway-agent";
  fs::copy_file(build_bin() + "/gangway-agent", copy);
  const EnvironmentScope agent("GANGWAY_AGENT", copy);
  const auto hash = forced_hash();
  fs::remove(copy);
  fs::copy_file(build_bin() + "/gangway-agent", copy);
  EXPECT_NE(forced_hash(), hash);
}

TEST_F(Warm, a_server_that_died_is_replaced) {
  const auto hash = forced_hash();
  const pid_t old = server();
  ASSERT_EQ(::kill(old, SIGKILL), 0);
  EXPECT_NE(forced_hash(), hash);
  EXPECT_NE(server(), old);
}

TEST_F(Warm, a_server_that_hangs_costs_a_second) {
  const auto hash = forced_hash();
  ASSERT_EQ(::kill(server(), SIGSTOP), 0);
  EXPECT_NE(forced_hash(), hash);
}

TEST_F(Warm, an_interrupt_of_the_server_reaches_no_agent) {
  (void)forced_hash();
  ASSERT_EQ(::kill(server(), SIGINT), 0);
  (void)forced_hash();
}

TEST_F(Warm, agents_outlive_their_server) {
  const EnvironmentScope always("GANGWAY_WARM", "1");
  const Gateway gateway = group().makegateway();
  ASSERT_EQ(::kill(server(), SIGKILL), 0);
  EXPECT_TRUE(eventually([] { return server() == -1; }, patience));
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

// GTest's children would not do: this one must not have the cookie.
TEST_F(Warm, a_forked_copy_of_the_controller_does_not_keep_the_server) {
  const detail::Pipe told = detail::make_pipe();
  const pid_t controller = ::fork();
  if (controller == 0) {
    const EnvironmentScope always("GANGWAY_WARM", "1");
    Group own;
    const Gateway gateway = own.makegateway();
    const pid_t copy = ::fork();
    if (copy == 0) {
      for (;;) ::pause();
    }
    const std::array<pid_t, 2> pids{server(), copy};
    (void)::write(told.write.get(), pids.data(), sizeof pids);
    for (;;) ::pause();
  }
  std::array<pid_t, 2> pids{};
  ASSERT_EQ(::read(told.read.get(), pids.data(), sizeof pids), static_cast<ssize_t>(sizeof pids));
  ASSERT_GT(pids[0], 0);
  ::kill(controller, SIGKILL);
  ASSERT_EQ(::waitpid(controller, nullptr, 0), controller);
  EXPECT_TRUE(eventually([&] { return ::kill(pids[0], 0) != 0; }, patience));
  ::kill(pids[1], SIGKILL);  // it holds the ends of the agent's pipes, too
}

TEST_F(Warm, every_shortage_of_descriptors_is_an_error_or_a_slower_start) {
  if (test::sanitized) GTEST_SKIP() << "the sanitizers need descriptors of their own";
  (void)forced_hash();
  const EnvironmentScope automatic("GANGWAY_WARM", {});
  (void)group().makegateway();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  std::vector<detail::FileDescriptor> all;
  const int highest = 300;  // so many are enough to be short of them
  const rlimit low{static_cast<rlim_t>(highest), limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  (void)group().makegateway();  // two starts under this limit make a server
  (void)group().makegateway();
  for (int fd; (fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) >= 0;) all.emplace_back(fd);
  int failed = 0;
  int left = 0;
  for (bool worked = false; !worked && left < 40; ++left) {
    try {
      Gateway gateway = group().makegateway();
      gateway.exit();
      worked = gateway.join(patience);
    } catch (const Error&) {
      ++failed;
    }
    if (!worked) all.pop_back();
  }
  EXPECT_LT(left, 40);
  EXPECT_GT(failed, 3);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

}  // namespace
}  // namespace gangway::test
