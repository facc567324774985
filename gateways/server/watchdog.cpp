#include "gateways/server/watchdog.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <map>

namespace gangway::detail {

namespace {

[[noreturn]] void guard(int from) {
  std::map<pid_t, FileDescriptor> agents;  // pidfds: a number alone may be reused
  for (;;) {
    pid_t what = 0;
    const ssize_t size = ::read(from, &what, sizeof what);
    if (size < 0 && errno == EINTR) continue;
    if (size != sizeof what) break;
    if (what < 0)
      agents.erase(-what);
    else
      agents[what] = FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, what, 0)));
  }
  // Their keepers kill what they keep, and end.
  for (const auto& [pid, pidfd] : agents)
    if (pidfd) ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGTERM, nullptr, 0);
  ::_exit(0);
}

}  // namespace

Watchdog::Watchdog() {
  Pipe pipe = make_pipe();
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::signal(number, SIG_IGN);
    (void)::setpgid(0, 0);
    pipe.write.reset();
    const int from = ::dup2(pipe.read.get(), STDIN_FILENO);
    ::close_range(STDERR_FILENO + 1, ~0u, 0);
    (void)::dup2(STDERR_FILENO, STDOUT_FILENO);  // nobody waits for the end of our stdout because of us
    guard(from);
  }
  if (pid > 0) pipe_ = std::move(pipe.write);
}

void Watchdog::tell(pid_t what) noexcept {
  if (pipe_) (void)!::write(pipe_.get(), &what, sizeof what);
}

}  // namespace gangway::detail
