#include "python/native/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>

namespace gangway::python {

namespace {

using Clock = std::chrono::steady_clock;

struct Stage {
  std::chrono::seconds grace;  // before the signal
  int signal;
};
// After the hang-up: a worker that can ends itself by then.
constexpr std::array<Stage, 2> stages{{{std::chrono::seconds(5), SIGTERM}, {std::chrono::seconds(3), SIGKILL}}};

// How often the keeper looks when the system refuses it a pidfd.
constexpr int poll_without_pidfd_ms = 100;

pid_t worker = -1;

// The group; the process alone when it has left it, or has none yet.
void hit(int number) {
  if (::kill(-worker, number) != 0) ::kill(worker, number);
}

void on_terminate(int) {
  const int saved = errno;
  hit(SIGKILL);
  errno = saved;
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(number, &action, nullptr);
}

bool has_ended() {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(worker), &info, WEXITED | WNOWAIT | WNOHANG) != 0 || info.si_pid == worker;
}

// Ends as the worker did: the controller sees only us.
[[noreturn]] void relay(int status) {
  if (WIFEXITED(status)) ::_exit(WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  const rlimit none{0, 0};  // one core dump is enough
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(number, SIG_DFL);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
  ::kill(::getpid(), number);
  ::_exit(128 + number);
}

[[noreturn]] void keep(int held) {
  ::dup2(held, STDOUT_FILENO);  // no output of ours can hold up the end of the stream
  ::close(held);
  ::setpgid(worker, worker);  // whoever is first
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, worker, 0));
  // POLLHUP and POLLERR come unasked. A negative descriptor is passed over.
  std::array<pollfd, 2> watched{{{STDIN_FILENO, POLLRDHUP, 0}, {pidfd, POLLIN, 0}}};
  constexpr auto never = Clock::time_point::max();
  auto deadline = never;
  std::size_t stage = 0;
  while (!has_ended()) {
    int wait_ms = pidfd < 0 ? poll_without_pidfd_ms : -1;
    if (deadline != never) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      const int left_ms = left > 0 ? static_cast<int>(left) : 0;
      if (wait_ms < 0 || left_ms < wait_ms) wait_ms = left_ms;
    }
    ::poll(watched.data(), watched.size(), wait_ms);
    if (watched[0].revents != 0) {
      watched[0].fd = -1;  // a hang-up stays, and would keep us spinning
      watched[0].revents = 0;
      deadline = Clock::now() + stages[0].grace;
    }
    if (Clock::now() >= deadline) {
      hit(stages[stage].signal);
      if (++stage < stages.size())
        deadline = Clock::now() + stages[stage].grace;
      else
        deadline = never;
    }
  }
  hit(SIGKILL);  // what it left behind; its pid is ours until we reap it
  int status = 0;
  while (::waitpid(worker, &status, 0) < 0) {
    if (errno != EINTR) ::_exit(1);  // somebody ignores SIGCHLD: nothing is known
  }
  relay(status);
}

// SIGKILL for the worker's whole group as soon as the keeper is gone. Only the keeper holds
// the other end of the pipe, and the kernel announces that the last writer went away with
// the signal we name (fcntl(2), F_SETSIG). The death signal is for this process alone, and
// holds where the pipe cannot be made.
void die_with(pid_t keeper, int watch) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (watch >= 0) {
    ::fcntl(watch, F_SETOWN, -::getpid());
    ::fcntl(watch, F_SETSIG, SIGKILL);
    ::fcntl(watch, F_SETFL, ::fcntl(watch, F_GETFL) | O_ASYNC);
  }
  if (::getppid() != keeper) ::_exit(1);
}

}  // namespace

void fork_keeper() {
  std::array<int, 2> pipe{-1, -1};
  (void)::pipe2(pipe.data(), O_CLOEXEC);
  sigset_t terminate, before;
  ::sigemptyset(&terminate);
  ::sigaddset(&terminate, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &terminate, &before);
  ::signal(SIGCHLD, SIG_DFL);  // ignored, it would take the worker's status from us
  const pid_t keeper = ::getpid();
  worker = ::fork();
  if (worker < 0) return;  // too many processes: the worker does without
  if (worker > 0) {
    ::signal(SIGINT, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
    handle(SIGTERM, on_terminate);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    ::sigprocmask(SIG_UNBLOCK, &terminate, nullptr);
    keep(pipe[1]);
  }
  ::setpgid(0, 0);
  if (pipe[1] >= 0) ::close(pipe[1]);
  die_with(keeper, pipe[0]);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace gangway::python
