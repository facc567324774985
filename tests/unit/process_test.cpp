#include "core/process.hpp"

#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <exception>
#include <fstream>

#include <grp.h>
#include <sys/resource.h>

#include "tests/support/leak_check.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/survivors.hpp"

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;
using gangway::test::eventually;

constexpr auto patience = 10s;  // a deadline, not a duration that is waited for

SpawnRequest shell(const std::string& script) { return {{"sh", "-c", script}, {}, {}}; }

/// Everything until the end of the stream.
std::string read_all(const FileDescriptor& fd) {
  std::string result;
  std::array<char, 4096> buffer;
  for (ssize_t count; (count = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) {
    result.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return result;
}

/// What the command writes to its standard output.
std::string output_of(SpawnRequest request) {
  Pipe pipe = make_pipe();
  request.descriptors.emplace_back(pipe.write.get(), STDOUT_FILENO);
  ChildProcess child = ChildProcess::start(request);
  pipe.write.reset();
  std::string result = read_all(pipe.read);
  EXPECT_TRUE(child.wait_for(patience));
  return result;
}

/// "Z" for a zombie, "" for a process that does not exist.
std::string state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  return stat.empty() ? "" : stat.substr(stat.rfind(')') + 2, 1);
}

bool exists(pid_t pid) { return !state_of(pid).empty(); }

class Process : public gangway::test::LeakCheckedTest {};

// How it starts.

TEST_F(Process, reports_the_exit_status) {
  for (const int code : {0, 3, 255}) {
    ChildProcess child = ChildProcess::start(shell("exit " + std::to_string(code)));
    EXPECT_EQ(child.wait_for(patience), (ExitStatus{code, {}}));
    EXPECT_EQ(child.status()->death_record().summary(), "exit status " + std::to_string(code));
    EXPECT_EQ(child.status()->success(), code == 0);
  }
}

TEST_F(Process, reports_the_signal) {
  ChildProcess child = ChildProcess::start(shell("kill -SEGV $$"));
  EXPECT_EQ(child.wait_for(patience), (ExitStatus{{}, SIGSEGV}));
  EXPECT_FALSE(child.status()->success());
}

TEST_F(Process, passes_arguments_unchanged) {
  EXPECT_EQ(output_of({{"printf", "%s|", "a b", "$HOME", "", "'\"\\"}, {}, {}}), "a b|$HOME||'\"\\|");
}

TEST_F(Process, adds_to_the_environment_and_replaces) {
  ::setenv("GANGWAY_TEST_KEPT", "kept", 1);
  ::setenv("GANGWAY_TEST_REPLACED", "old", 1);
  SpawnRequest request =
      shell("echo $GANGWAY_TEST_KEPT $GANGWAY_TEST_REPLACED $GANGWAY_TEST_NEW; env | grep -c _REPLACED=");
  request.extra_env = {{"GANGWAY_TEST_REPLACED", "new"}, {"GANGWAY_TEST_NEW", "a=b"}};
  EXPECT_EQ(output_of(request), "kept new a=b\n1\n");
  ::unsetenv("GANGWAY_TEST_KEPT");
  ::unsetenv("GANGWAY_TEST_REPLACED");
}

TEST_F(Process, leads_a_group_of_its_own) {
  ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  EXPECT_EQ(::getpgid(child.pid()), child.pid());
  ChildProcess member = ChildProcess::start({{"sleep", "1000"}, {}, {}, false});
  EXPECT_EQ(::getpgid(member.pid()), ::getpgid(0));
}

TEST_F(Process, inherits_nothing_but_the_three_descriptors) {
  // What the rest of the program opened without CLOEXEC.
  const FileDescriptor careless(::open("/dev/null", O_RDONLY));
  const FileDescriptor high(::fcntl(careless.get(), F_DUPFD, 200));
  ASSERT_EQ(::fcntl(high.get(), F_GETFD) & FD_CLOEXEC, 0);
  Pipe input = make_pipe();
  SpawnRequest request = shell("for fd in /proc/$$/fd/*; do test -e $fd && printf '%s ' ${fd##*/}; done");
  request.descriptors = {{input.read.get(), STDIN_FILENO}};
  EXPECT_EQ(output_of(request), "0 1 2 ");
}

TEST_F(Process, gets_descriptors_above_two_where_asked) {
  Pipe extra = make_pipe();
  SpawnRequest request = shell("echo three >&3; echo six >&6; ls /proc/self/fd >/dev/null");
  request.descriptors = {{extra.write.get(), 3}, {extra.write.get(), 6}};
  ChildProcess child = ChildProcess::start(request);
  extra.write.reset();
  EXPECT_EQ(read_all(extra.read), "three\nsix\n");
  EXPECT_TRUE(child.wait_for(patience));
}

TEST_F(Process, can_exchange_descriptor_numbers) {
  // In a program whose descriptors are low, one mapping's source is another's target.
  Pipe one = make_pipe();
  Pipe two = make_pipe();
  const FileDescriptor high(::fcntl(two.write.get(), F_DUPFD_CLOEXEC, 50));
  SpawnRequest request =
      shell("echo to_a >&" + std::to_string(one.write.get()) + "; echo to_b >&" + std::to_string(high.get()));
  request.argv[0] = "bash";  // dash knows one-digit descriptors only
  request.descriptors = {{one.write.get(), high.get()}, {high.get(), one.write.get()}};
  ChildProcess child = ChildProcess::start(request);
  EXPECT_TRUE(child.wait_for(patience));
  two.write.reset();
  const_cast<FileDescriptor&>(high).reset();
  one.write.reset();
  EXPECT_EQ(read_all(one.read), "to_b\n");
  EXPECT_EQ(read_all(two.read), "to_a\n");
}

TEST_F(Process, has_default_signal_dispositions_and_an_empty_mask) {
  const auto before = std::signal(SIGINT, SIG_IGN);
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  const auto hup_before = std::signal(SIGHUP, SIG_IGN);
  sigset_t all, mask_before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &mask_before);
  const std::string blocked = output_of({{"sed", "-n", "s/^SigBlk:.//p", "/proc/self/status"}, {}, {}});
  const std::string ignored = output_of({{"sed", "-n", "s/^SigIgn:.//p", "/proc/self/status"}, {}, {}});
  ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  std::signal(SIGINT, before);
  std::signal(SIGPIPE, pipe_before);
  std::signal(SIGHUP, hup_before);
  EXPECT_EQ(std::stoull(blocked, nullptr, 16), 0u);
  // SIGHUP, bit 0, stays ignored: that is how nohup works. Above bit 30 are the real-time
  // signals, two of which glibc's posix_spawn leaves ignored; threads set them up again themselves.
  EXPECT_EQ(std::stoull(ignored, nullptr, 16) & 0x7fff'ffff, 1u);
}

// How starting fails.

TEST_F(Process, names_the_program_and_the_reason_when_it_cannot_start) {
  const struct {
    std::string program;
    int error;
    std::string text;
  } cases[] = {
      {"no-such-program-anywhere", ENOENT, "cannot start 'no-such-program-anywhere': No such file or directory"},
      {"/no/such/python", ENOENT, "cannot start '/no/such/python': No such file or directory"},
      {"/etc/passwd", EACCES, "cannot start '/etc/passwd': Permission denied"},
      {"/tmp", EACCES, "cannot start '/tmp': Permission denied"},
      {"", ENOENT, "cannot start '': No such file or directory"},
      {"bad\x1b[m", ENOENT, "cannot start 'bad\\x1b[m': No such file or directory"},
      {std::string("nul\0", 4), EINVAL, "cannot start 'nul\\x00': Invalid argument"},
  };
  for (const auto& [program, error, text] : cases) {
    try {
      (void)ChildProcess::start({{program}, {}, {}});
      ADD_FAILURE() << program << " was started";
    } catch (const SpawnError& failure) {
      EXPECT_EQ(failure.code(), errc::spawn_failed);
      EXPECT_EQ(failure.os_error(), error) << program;
      EXPECT_EQ(failure.what(), text);
    }
  }
  EXPECT_THROW((void)ChildProcess::start({}), StartError);
}

TEST_F(Process, refuses_arguments_and_variables_the_system_would_cut) {
  SpawnRequest request{{"true", std::string("a\0b", 3)}, {}, {}};
  EXPECT_THROW((void)ChildProcess::start(request), SpawnError);
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"", "x"}, {"A=B", "x"}, {std::string("A\0", 2), "x"}, {"A", std::string("\0", 1)}}) {
    request = {{"true"}, {{name, value}}, {}};
    EXPECT_THROW((void)ChildProcess::start(request), SpawnError);
  }
}

TEST_F(Process, reports_a_descriptor_that_is_not_open) {
  EXPECT_THROW((void)ChildProcess::start({{"true"}, {}, {{-1, 0}}}), SpawnError);
  EXPECT_THROW((void)ChildProcess::start({{"true"}, {}, {{9999, 0}}}), SpawnError);
}

TEST_F(Process, reports_the_limit_on_processes) {
  // In a copy of this process that is not root: root has no such limit.
  const pid_t copy = ::fork();
  if (copy == 0) {
    const rlimit none{0, 0};
    if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(77);
    if (::setrlimit(RLIMIT_NPROC, &none) != 0) ::_exit(77);
    try {
      (void)ChildProcess::start({{"true"}, {}, {}});
      ::_exit(1);
    } catch (const SpawnError& failure) {
      const std::string_view text = failure.what();
      ::_exit(failure.os_error() == EAGAIN && text.find("limit on processes") != text.npos ? 0 : 2);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "the limit could not be set";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Process, reports_the_limit_on_descriptors_and_leaves_nothing) {
  if (test::sanitized) GTEST_SKIP() << "the sanitizers need descriptors of their own";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // No descriptor for the pidfd: the process was started already, and must go.
  const FileDescriptor next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const rlimit full{static_cast<rlim_t>(next.get()) + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &full), 0);
  // Looked at later: UBSan needs a descriptor to look at an object.
  std::exception_ptr no_process;
  std::exception_ptr no_pipe;
  try {
    (void)ChildProcess::start({{"sleep", "1000"}, {}, {}});
  } catch (...) {
    no_process = std::current_exception();
  }
  try {
    (void)make_pipe();
  } catch (...) {
    no_pipe = std::current_exception();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  try {
    if (no_process) std::rethrow_exception(no_process);
    ADD_FAILURE() << "was started";
  } catch (const SpawnError& failure) {
    EXPECT_EQ(failure.os_error(), EMFILE);
  }
  try {
    if (no_pipe) std::rethrow_exception(no_pipe);
    ADD_FAILURE() << "was made";
  } catch (const Error& failure) {
    EXPECT_EQ(failure.code(), boost::system::error_code(EMFILE, boost::system::system_category()));
  }
}

/// The real system, except that the n-th call of all fails.
class FailingOps : public ProcessOps {
 public:
  FailingOps(int nth, int error) : left_(nth), error_(error) {}
  [[nodiscard]] bool failed() const { return left_ < 0; }

  int spawn(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
            const posix_spawnattr_t* attributes, char* const argv[], char* const envp[]) override {
    return fails() ? error_ : ProcessOps::spawn(pid, file, actions, attributes, argv, envp);
  }
  int pidfd_open(pid_t pid) override { return fails() ? -1 : ProcessOps::pidfd_open(pid); }
  int pidfd_send_signal(int fd, int number) override {
    return fails() ? -1 : ProcessOps::pidfd_send_signal(fd, number);
  }
  int waitid(idtype_t type, id_t id, siginfo_t* info, int options) override {
    return fails() ? -1 : ProcessOps::waitid(type, id, info, options);
  }
  int kill(pid_t pid, int number) override { return fails() ? -1 : ProcessOps::kill(pid, number); }
  int poll(pollfd* fds, nfds_t count, int timeout) override {
    return fails() ? -1 : ProcessOps::poll(fds, count, timeout);
  }
  int pipe2(int fds[2], int flags) override { return fails() ? -1 : ProcessOps::pipe2(fds, flags); }
  int dup_above(int fd, int least) override { return fails() ? -1 : ProcessOps::dup_above(fd, least); }

 private:
  bool fails() {
    if (left_ < 0 || --left_ >= 0) return false;
    errno = error_;
    return true;
  }
  int left_;
  int error_;
};

TEST_F(Process, leaves_nothing_whichever_system_call_fails) {
  for (const int error : {EAGAIN, ENOMEM, EMFILE, EINTR, EPERM}) {
    const gangway::test::CookieScope cookie;
    bool failed = true;
    for (int nth = 0; failed; ++nth) {
      ASSERT_LT(nth, 50);
      FailingOps ops(nth, error);
      try {
        Pipe pipe = make_pipe(ops);
        SpawnRequest request{{"sleep", "1000"}, {}, {{pipe.read.get(), 0}, {pipe.write.get(), 1}}};
        ChildProcess child = ChildProcess::start(request, ops);
        child.signal_group(SIGTERM);
        (void)child.wait_for(20ms);
      } catch (const SpawnError& failure) {
        EXPECT_EQ(failure.os_error(), error);
      } catch (const Error&) {
      }
      failed = ops.failed();
      EXPECT_TRUE(gangway::test::wait_for_no_survivors(cookie.value(), patience))
          << "call " << nth << " errno " << error;
    }
  }
}

// How it ends.

TEST_F(Process, is_running_until_it_is_reaped) {
  ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  EXPECT_TRUE(child);
  EXPECT_FALSE(child.has_ended());
  EXPECT_EQ(child.try_reap(), std::nullopt);
  EXPECT_EQ(child.wait_for(0ms), std::nullopt);
  EXPECT_TRUE(child.signal(SIGTERM));
  EXPECT_TRUE(eventually([&] { return child.has_ended(); }));
  EXPECT_TRUE(child);
  EXPECT_EQ(child.try_reap(), (ExitStatus{{}, SIGTERM}));
  EXPECT_FALSE(child);
  EXPECT_EQ(child.try_reap(), (ExitStatus{{}, SIGTERM}));
  EXPECT_TRUE(child.has_ended());
}

TEST_F(Process, makes_its_pidfd_readable_when_it_ends) {
  ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  EXPECT_NE(::fcntl(child.pidfd(), F_GETFD) & FD_CLOEXEC, 0);
  pollfd watched{child.pidfd(), POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, 0), 0);
  child.signal(SIGKILL);
  EXPECT_EQ(::poll(&watched, 1, 10'000), 1);
}

TEST_F(Process, signals_nobody_after_it_has_ended) {
  ChildProcess child = ChildProcess::start({{"true"}, {}, {}});
  ASSERT_TRUE(eventually([&] { return child.has_ended(); }));
  EXPECT_FALSE(child.signal(SIGKILL));
  EXPECT_EQ(errno, ESRCH);
  ASSERT_TRUE(child.wait_for(patience));
  EXPECT_FALSE(child.signal(SIGKILL));
  EXPECT_EQ(errno, ESRCH);
  EXPECT_FALSE(child.signal_group(SIGKILL));
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(Process, does_not_hit_a_new_process_with_the_same_number) {
  // Somebody else reaps the child, as a program's own wait() may; from then on its number is
  // free. Ops that would be called with the number must not be called at all.
  struct Watched : ProcessOps {
    int kill(pid_t, int) override { return ++kills, 0; }
    int kills = 0;
  } ops;
  ChildProcess child = ChildProcess::start({{"true"}, {}, {}}, ops);
  ASSERT_EQ(::waitpid(child.pid(), nullptr, 0), child.pid());
  EXPECT_FALSE(child.signal(SIGKILL));
  EXPECT_EQ(errno, ESRCH);
  EXPECT_FALSE(child.signal_group(SIGKILL));
  EXPECT_EQ(errno, ESRCH);
  EXPECT_EQ(child.try_reap(), ExitStatus{});
  EXPECT_EQ(child.status()->death_record().summary(), "");
  EXPECT_EQ(ops.kills, 0);
}

TEST_F(Process, signals_the_group_while_its_leader_is_unreaped) {
  // The leader ends; what it started runs on, in its group.
  Pipe pipe = make_pipe();
  SpawnRequest request = shell("sleep 1000 & echo $!");
  request.descriptors = {{pipe.write.get(), STDOUT_FILENO}};
  ChildProcess child = ChildProcess::start(request);
  pipe.write.reset();
  std::array<char, 32> line{};
  ASSERT_GT(::read(pipe.read.get(), line.data(), line.size() - 1), 0);
  const pid_t grandchild = std::stoi(line.data());
  ASSERT_TRUE(eventually([&] { return child.has_ended(); }));
  EXPECT_TRUE(exists(grandchild));
  EXPECT_TRUE(child.signal_group(SIGKILL));
  EXPECT_TRUE(eventually([&] { return state_of(grandchild).empty() || state_of(grandchild) == "Z"; }));
  EXPECT_EQ(child.try_reap(), (ExitStatus{0, {}}));
}

TEST_F(Process, ends_with_its_owner_and_takes_its_group_along) {
  const gangway::test::CookieScope cookie;
  {
    Pipe pipe = make_pipe();
    SpawnRequest request = shell("trap '' TERM INT HUP; sleep 1000 & echo ready; wait");
    request.descriptors = {{pipe.write.get(), STDOUT_FILENO}};
    ChildProcess child = ChildProcess::start(request);
    char byte = 0;
    ASSERT_EQ(::read(pipe.read.get(), &byte, 1), 1);
    // In the middle of its exec a process has no environment to be found by.
    EXPECT_TRUE(eventually([&] { return gangway::test::find_survivors(cookie.value()).size() == 2u; }));
  }
  EXPECT_TRUE(gangway::test::wait_for_no_survivors(cookie.value()));
}

TEST_F(Process, ends_with_its_owner_also_when_stopped) {
  ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  const pid_t pid = child.pid();
  child.signal(SIGSTOP);
  EXPECT_TRUE(eventually([&] { return state_of(pid) == "T"; }));
  child = {};
  EXPECT_FALSE(exists(pid));
}

TEST_F(Process, moves_with_its_owner) {
  ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  const pid_t pid = child.pid();
  ChildProcess other = std::move(child);
  EXPECT_FALSE(child);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(other.pid(), pid);
  EXPECT_TRUE(exists(pid));
  other = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  EXPECT_FALSE(exists(pid));
}

TEST_F(Process, is_left_alone_by_a_forked_copy_of_its_owner) {
  ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
  const pid_t copy = ::fork();
  if (copy == 0) {
    const bool refused = !child.signal(SIGKILL) && !child.signal_group(SIGKILL) && !child.try_reap();
    child = {};
    ::_exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(child.try_reap(), std::nullopt);
  EXPECT_TRUE(exists(child.pid()));
}

TEST_F(Process, works_in_a_program_that_ignores_sigchld) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  {
    ChildProcess child = ChildProcess::start({{"sleep", "1000"}, {}, {}});
    EXPECT_FALSE(child.has_ended());
    EXPECT_TRUE(child.signal(SIGKILL));
    EXPECT_EQ(child.wait_for(patience), ExitStatus{});  // the system threw the status away
  }
  std::signal(SIGCHLD, before);
}

TEST_F(Process, leaves_no_zombie_and_no_descriptor_over_many_cycles) {
  const auto before = gangway::test::Holdings::now();
  for (int cycle = 0; cycle < 200; ++cycle) {
    Pipe pipe = make_pipe();
    ChildProcess child = ChildProcess::start({{"true"}, {}, {{pipe.read.get(), 0}, {pipe.write.get(), 1}}});
    if (cycle % 2 != 0) continue;  // every other one is killed by its owner
    ASSERT_EQ(child.wait_for(patience), (ExitStatus{0, {}}));
  }
  EXPECT_EQ(gangway::test::Holdings::now().more_than(before), "");
}

// Descriptors.

TEST_F(Process, pipes_avoid_the_standard_numbers) {
  const FileDescriptor input(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10));
  if (!input) GTEST_SKIP() << "no standard input here";
  ::close(STDIN_FILENO);
  {
    const Pipe pipe = make_pipe();
    EXPECT_GT(pipe.read.get(), STDERR_FILENO);
    EXPECT_GT(pipe.write.get(), STDERR_FILENO);
    EXPECT_NE(::fcntl(pipe.read.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(::fcntl(pipe.write.get(), F_GETFD) & FD_CLOEXEC, 0);
    const Pipe other = make_pipe(ProcessOps::system());
    EXPECT_GT(other.read.get(), STDERR_FILENO);
    EXPECT_GT(other.write.get(), STDERR_FILENO);
  }
  ::dup2(input.get(), STDIN_FILENO);
}

TEST_F(Process, descriptors_have_one_owner) {
  Pipe pipe = make_pipe();
  const int number = pipe.read.get();
  FileDescriptor moved = std::move(pipe.read);
  EXPECT_FALSE(pipe.read);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(moved.get(), number);
  moved.reset(number);  // to itself: stays open
  EXPECT_GE(::fcntl(number, F_GETFD), 0);
  FileDescriptor& same = moved;
  moved = std::move(same);
  EXPECT_EQ(moved.get(), number);
  const int released = moved.release();
  EXPECT_EQ(released, number);
  EXPECT_FALSE(moved);
  moved.reset(released);
  moved.reset();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(Process, descriptors_keep_errno_when_they_close) {
  FileDescriptor closed(1'000'000);
  errno = EAGAIN;
  closed.reset();
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(Process, descriptors_become_nonblocking_and_back) {
  const Pipe pipe = make_pipe();
  EXPECT_FALSE(set_nonblocking(pipe.read.get()));
  char byte;
  EXPECT_EQ(::read(pipe.read.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(set_nonblocking(pipe.read.get(), false));
  EXPECT_EQ(::fcntl(pipe.read.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_TRUE(set_nonblocking(-1));
}

// Children that somebody else has forked.

TEST_F(Process, an_adopted_child_leads_a_group_and_is_reaped) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (;;) ::pause();
  }
  ChildProcess child = ChildProcess::adopt(pid);
  EXPECT_EQ(child.pid(), pid);
  EXPECT_EQ(::getpgid(pid), pid);
  EXPECT_TRUE(child.signal_group(SIGTERM));
  EXPECT_EQ(child.wait_for(patience), (ExitStatus{{}, SIGTERM}));
}

TEST_F(Process, a_child_that_cannot_be_watched_is_not_adopted_but_killed) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (;;) ::pause();
  }
  FailingOps ops(0, EMFILE);
  EXPECT_THROW((void)ChildProcess::adopt(pid, ops), SpawnError);
  EXPECT_FALSE(exists(pid));
}

}  // namespace
}  // namespace gangway::detail
