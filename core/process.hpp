// Child processes: started by posix_spawn into a process group of their own, watched and
// signalled through a pidfd, reaped once.
//
// The one door to the operating system for them is ProcessOps, so that a test can let any
// call fail. Objects here are used by one thread (strand) at a time. Needs Linux 5.4
// (pidfd_open, waitid(P_PIDFD)).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <gangway/death_record.hpp>
#include <gangway/error.hpp>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

/// The system calls as they are: results and errno as in their manual pages.
class ProcessOps {
 public:
  virtual ~ProcessOps() = default;

  /// Returns the errno, as posix_spawnp does.
  virtual int spawn(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                    const posix_spawnattr_t* attributes, char* const argv[], char* const envp[]);
  virtual int pidfd_open(pid_t pid);
  virtual int pidfd_send_signal(int pidfd, int signal);
  virtual int waitid(idtype_t type, id_t id, siginfo_t* info, int options);
  virtual int kill(pid_t pid, int signal);
  virtual int setpgid(pid_t pid, pid_t group);
  virtual int poll(pollfd* fds, nfds_t count, int timeout_ms);
  virtual int pipe2(int fds[2], int flags);
  virtual int dup_above(int fd, int least);  // F_DUPFD_CLOEXEC

  [[nodiscard]] static ProcessOps& system() noexcept;
};

/// As file_descriptor.hpp's, through `ops`.
[[nodiscard]] Pipe make_pipe(ProcessOps& ops);

/// The process could not be started; code() is errc::spawn_failed, what() names the program
/// and the reason.
class SpawnError : public StartError {
 public:
  SpawnError(int os_error, const std::string& text) : StartError(errc::spawn_failed, text), os_error_(os_error) {}
  /// The errno: ENOENT, EACCES, EAGAIN, ENOMEM, EMFILE, E2BIG, ...
  [[nodiscard]] int os_error() const noexcept { return os_error_; }

 private:
  int os_error_;
};

struct SpawnRequest {
  std::vector<std::string> argv;                               // argv[0] is looked up in this process's PATH
  std::vector<std::pair<std::string, std::string>> extra_env;  // replaces what is inherited
  std::vector<std::pair<int, int>> descriptors;  // ours -> the child's number; 0 to 2 not named here are inherited
  bool new_process_group = true;                 // without it signal_group signals the leader alone
};

/// What the child inherits (GANGWAY_SECRET it does not), with `extra` in place of variables of the same name:
/// "NAME=value".
[[nodiscard]] std::vector<std::string> environment(const std::vector<std::pair<std::string, std::string>>& extra);

/// How a process ended: exactly one of the two, or neither when somebody else reaped it
/// (the program ignores SIGCHLD, or waits for any child).
struct ExitStatus {
  std::optional<int> code;
  std::optional<int> signal;

  [[nodiscard]] bool success() const noexcept { return code == 0; }
  [[nodiscard]] DeathRecord death_record() const { return {code, signal, {}}; }
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

class ChildProcess {
 public:
  ChildProcess() noexcept = default;
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  /// Kills the group and reaps, within limits::kill_grace; a process that takes longer than
  /// that (uninterruptible sleep) is left behind and traced. Does nothing in a forked child.
  ~ChildProcess();

  /// Throws SpawnError; then no process and no descriptor is left. `ops` must outlive the result.
  [[nodiscard]] static ChildProcess start(const SpawnRequest& request, ProcessOps& ops = ProcessOps::system());
  /// A child of this process that somebody else has forked, and that has not called exec: it
  /// becomes the leader of a process group. Throws SpawnError; then it was killed.
  [[nodiscard]] static ChildProcess adopt(pid_t pid, ProcessOps& ops = ProcessOps::system());

  /// Whether there is a process that was not reaped yet.
  [[nodiscard]] explicit operator bool() const noexcept { return pid_ > 0 && !status_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Readable once the process has ended. Belongs to this object and stays open until it dies.
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }

  /// To the process alone. True when it was sent; false when the process has ended (nobody
  /// else is hit) or the system refused (EPERM: a sudo'ed child; errno says so).
  bool signal(int number) noexcept;
  /// To the whole group, also after its leader ended, but not after it was reaped: so do
  /// this before try_reap. Results as for signal.
  bool signal_group(int number) noexcept;

  /// Whether the process has ended; it stays a zombie, and its group can be signalled.
  [[nodiscard]] bool has_ended() noexcept;
  /// Does not wait. The first result is kept and returned by later calls.
  std::optional<ExitStatus> try_reap() noexcept;
  /// Waits for the end, and reaps; nothing when it takes longer. Blocks: for tests and
  /// destructors, not for a strand.
  std::optional<ExitStatus> wait_for(std::chrono::milliseconds timeout) noexcept;
  [[nodiscard]] const std::optional<ExitStatus>& status() const noexcept { return status_; }

 private:
  [[nodiscard]] int own(pid_t pid, bool leads_group, ProcessOps& ops);
  void end() noexcept;
  [[nodiscard]] bool ours() const noexcept;

  ProcessOps* ops_ = nullptr;
  pid_t pid_ = -1;
  pid_t owner_ = -1;  // who started it: a forked copy of that program must not end it
  bool leads_group_ = false;
  FileDescriptor pidfd_;
  std::optional<ExitStatus> status_;
};

}  // namespace gangway::detail
