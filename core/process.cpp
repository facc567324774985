#include "core/process.hpp"

#include <gangway/limits.hpp>

#include <algorithm>
#include <string_view>
#include <thread>

#include <sys/syscall.h>

#include "core/escape.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

namespace {

// <sys/pidfd.h> came with glibc 2.36, and P_PIDFD is an enumerator that older ones lack.
constexpr auto by_pidfd = static_cast<idtype_t>(3);

class FileActions {
 public:
  FileActions() : error_(::posix_spawn_file_actions_init(&actions_)) {}
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  void dup2(int from, int to) { keep(::posix_spawn_file_actions_adddup2(&actions_, from, to)); }
  void close(int fd) { keep(::posix_spawn_file_actions_addclose(&actions_, fd)); }
  void close_from([[maybe_unused]] int least) {
#if __GLIBC_PREREQ(2, 34)
    keep(::posix_spawn_file_actions_addclosefrom_np(&actions_, least));
#endif
  }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }
  [[nodiscard]] int error() const { return error_; }

 private:
  void keep(int error) {
    if (error_ == 0) error_ = error;
  }
  posix_spawn_file_actions_t actions_;
  int error_;
};

class Attributes {
 public:
  explicit Attributes(bool new_process_group) : error_(::posix_spawnattr_init(&attributes_)) {
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (new_process_group) flags |= POSIX_SPAWN_SETPGROUP;  // group 0: its own pid
    sigset_t defaults;
    sigemptyset(&defaults);
    // What a program ignores its children ignore too: Python without SIGPIPE's default never
    // notices a closed pipe, and what a shell starts with "&" has SIGINT ignored, which is
    // how a task is interrupted. SIGHUP and the terminal's stop signals stay as they are:
    // somebody said nohup.
    for (const int number : {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2, SIGXFSZ, SIGABRT,
                             SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
      sigaddset(&defaults, number);
    }
    sigset_t none;
    sigemptyset(&none);
    keep(::posix_spawnattr_setsigdefault(&attributes_, &defaults));
    keep(::posix_spawnattr_setsigmask(&attributes_, &none));
    keep(::posix_spawnattr_setpgroup(&attributes_, 0));
    keep(::posix_spawnattr_setflags(&attributes_, flags));
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  [[nodiscard]] const posix_spawnattr_t* get() const { return &attributes_; }
  [[nodiscard]] int error() const { return error_; }

 private:
  void keep(int error) {
    if (error_ == 0) error_ = error;
  }
  posix_spawnattr_t attributes_;
  int error_;
};

[[noreturn]] void fail(const SpawnRequest& request, int error) {
  const std::string program = request.argv.empty() ? "" : escape_for_display(request.argv.front());
  std::string text = "cannot start '" + program + "': ";
  text += boost::system::error_code(error, boost::system::system_category()).message();
  if (error == EAGAIN) text += " (the limit on processes is reached)";
  throw SpawnError(error, text);
}

bool holds_nul(std::string_view text) { return text.find('\0') != text.npos; }

/// Pointers into the strings, and the null pointer at the end.
std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

void check(const SpawnRequest& request) {
  if (request.argv.empty() || request.argv.front().empty()) fail(request, ENOENT);
  if (std::any_of(request.argv.begin(), request.argv.end(), holds_nul)) fail(request, EINVAL);
  for (const auto& [name, value] : request.extra_env) {
    if (name.empty() || name.find('=') != name.npos || holds_nul(name) || holds_nul(value)) fail(request, EINVAL);
  }
}

/// A process that is ours and unreaped, but that no pidfd could be had for.
void kill_by_number(ProcessOps& ops, pid_t pid, bool leads_group) {
  ops.kill(leads_group ? -pid : pid, SIGKILL);
  const auto deadline = std::chrono::steady_clock::now() + limits::kill_grace;
  while (std::chrono::steady_clock::now() < deadline) {
    siginfo_t info{};
    if (ops.waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid == pid) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// The secret of a socket server (gateways/secret.hpp) is no agent's business.
constexpr std::string_view secret_variable = "GANGWAY_SECRET";

}  // namespace

std::vector<std::string> environment(const std::vector<std::pair<std::string, std::string>>& extra) {
  std::vector<std::string> result;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (name == secret_variable) continue;
    const bool replaced = std::any_of(extra.begin(), extra.end(), [&](const auto& e) { return e.first == name; });
    if (!replaced) result.emplace_back(text);
  }
  for (const auto& [name, value] : extra) result.push_back(name + "=" + value);
  return result;
}

int ProcessOps::spawn(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                      const posix_spawnattr_t* attributes, char* const argv[], char* const envp[]) {
  return ::posix_spawnp(pid, file, actions, attributes, argv, envp);
}
int ProcessOps::pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
int ProcessOps::pidfd_send_signal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}
int ProcessOps::waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  return ::waitid(type, id, info, options);
}
int ProcessOps::kill(pid_t pid, int signal) { return ::kill(pid, signal); }
int ProcessOps::setpgid(pid_t pid, pid_t group) { return ::setpgid(pid, group); }
int ProcessOps::poll(pollfd* fds, nfds_t count, int timeout_ms) { return ::poll(fds, count, timeout_ms); }
int ProcessOps::pipe2(int fds[2], int flags) { return ::pipe2(fds, flags); }
int ProcessOps::dup_above(int fd, int least) { return ::fcntl(fd, F_DUPFD_CLOEXEC, least); }

ProcessOps& ProcessOps::system() noexcept {
  static ProcessOps ops;  // it has no state
  return ops;
}

Pipe make_pipe(ProcessOps& ops) {
  int fds[2];
  const auto fail_now = [] { throw_error(last_os_error(), "cannot make a pipe: " + last_os_error().message()); };
  if (ops.pipe2(fds, O_CLOEXEC) != 0) fail_now();
  Pipe result{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
  for (FileDescriptor* end : {&result.read, &result.write}) {
    if (end->get() > STDERR_FILENO) continue;
    const int higher = ops.dup_above(end->get(), STDERR_FILENO + 1);
    if (higher < 0) fail_now();
    end->reset(higher);
  }
  return result;
}

ChildProcess ChildProcess::start(const SpawnRequest& request, ProcessOps& ops) {
  check(request);
  std::vector<std::string> argv_text = request.argv;
  std::vector<std::string> envp_text = environment(request.extra_env);
  const std::vector<char*> argv = pointers(argv_text);
  const std::vector<char*> envp = pointers(envp_text);

  int highest = STDERR_FILENO;
  for (const auto& [from, to] : request.descriptors) highest = std::max(highest, to);
  FileActions actions;
  std::vector<FileDescriptor> moved;  // sources that another mapping would overwrite first
  for (const auto& [from, to] : request.descriptors) {
    int source = from;
    const bool overwritten =
        std::any_of(request.descriptors.begin(), request.descriptors.end(),
                    [&](const auto& other) { return other.second == source && other.first != source; });
    if (overwritten) {
      source = ops.dup_above(source, highest + 1);
      if (source < 0) fail(request, errno);
      moved.emplace_back(source);
    }
    actions.dup2(source, to);
  }
  // Ours are CLOEXEC; this is for what the rest of the program opened without it.
  for (int fd = STDERR_FILENO + 1; fd < highest; ++fd) {
    const bool wanted = std::any_of(request.descriptors.begin(), request.descriptors.end(),
                                    [fd](const auto& mapping) { return mapping.second == fd; });
    if (!wanted) actions.close(fd);
  }
  actions.close_from(highest + 1);
  const Attributes attributes(request.new_process_group);
  if (actions.error() != 0) fail(request, actions.error());
  if (attributes.error() != 0) fail(request, attributes.error());

  pid_t pid = -1;
  const int error = ops.spawn(&pid, argv.front(), actions.get(), attributes.get(), argv.data(), envp.data());
  if (error != 0) fail(request, error);

  ChildProcess child;
  if (const int reason = child.own(pid, request.new_process_group, ops); reason != 0) fail(request, reason);
  trace::log("started process ", pid, ": ", request.argv.front());
  return child;
}

ChildProcess ChildProcess::adopt(pid_t pid, ProcessOps& ops) {
  // Refused when it has ended already: then no signal can reach the group, nor has to.
  (void)ops.setpgid(pid, pid);
  ChildProcess child;
  if (const int reason = child.own(pid, true, ops); reason != 0) fail({{"a forked agent"}, {}, {}}, reason);
  trace::log("forked process ", pid);
  return child;
}

// An errno, and the process is killed, when there is no pidfd to be had.
int ChildProcess::own(pid_t pid, bool leads_group, ProcessOps& ops) {
  // The number cannot have a new owner yet: the child is not reaped.
  FileDescriptor pidfd(ops.pidfd_open(pid));
  if (!pidfd) {
    const int reason = errno;
    // ESRCH: the program ignores SIGCHLD and the child is gone; its number may be anybody's.
    if (reason != ESRCH) kill_by_number(ops, pid, leads_group);
    return reason;
  }
  ops_ = &ops;
  pid_ = pid;
  owner_ = ::getpid();
  leads_group_ = leads_group;
  pidfd_ = std::move(pidfd);
  return 0;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : ops_(other.ops_),
      pid_(std::exchange(other.pid_, -1)),
      owner_(other.owner_),
      leads_group_(other.leads_group_),
      pidfd_(std::move(other.pidfd_)),
      status_(std::exchange(other.status_, std::nullopt)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this == &other) return *this;
  end();
  ops_ = other.ops_;
  pid_ = std::exchange(other.pid_, -1);
  owner_ = other.owner_;
  leads_group_ = other.leads_group_;
  pidfd_ = std::move(other.pidfd_);
  status_ = std::exchange(other.status_, std::nullopt);
  return *this;
}

ChildProcess::~ChildProcess() { end(); }

void ChildProcess::end() noexcept {
  if (!ours()) return;
  signal_group(SIGKILL);
  signal(SIGKILL);  // it may have left its group
  if (!wait_for(limits::kill_grace)) trace::log("process ", pid_, " survived SIGKILL");
}

bool ChildProcess::ours() const noexcept { return *this && pidfd_ && owner_ == ::getpid(); }

bool ChildProcess::signal(int number) noexcept {
  if (!ours() || has_ended()) {
    errno = ESRCH;
    return false;
  }
  return ops_->pidfd_send_signal(pidfd_.get(), number) == 0;
}

bool ChildProcess::signal_group(int number) noexcept {
  if (!leads_group_) return signal(number);
  siginfo_t info{};
  // As long as the leader can be waited for, its number is its own and so is its group's.
  const bool unreaped =
      ours() && ops_->waitid(by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
  if (!unreaped || pid_ <= 1) {
    errno = ESRCH;
    return false;
  }
  return ops_->kill(-pid_, number) == 0;
}

bool ChildProcess::has_ended() noexcept {
  if (status_) return true;
  if (!ours()) return false;
  siginfo_t info{};
  const int result = ops_->waitid(by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG | WNOWAIT);
  return result == 0 ? info.si_pid != 0 : errno == ECHILD;
}

std::optional<ExitStatus> ChildProcess::try_reap() noexcept {
  if (status_ || !ours()) return status_;
  siginfo_t info{};
  const int result = ops_->waitid(by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  if (result == 0 && info.si_pid != 0) {
    status_ = info.si_code == CLD_EXITED ? ExitStatus{info.si_status, {}} : ExitStatus{{}, info.si_status};
  } else if (result != 0 && errno == ECHILD) {
    status_ = ExitStatus{};
  }
  return status_;
}

std::optional<ExitStatus> ChildProcess::wait_for(std::chrono::milliseconds timeout) noexcept {
  using std::chrono::steady_clock;
  if (!ours()) return status_;
  for (const auto deadline = steady_clock::now() + timeout;;) {
    if (const auto status = try_reap()) return status;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return std::nullopt;
    // Readable as soon as it has ended; should the system refuse one of the two, no spinning.
    pollfd watched{pidfd_.get(), POLLIN, 0};
    const int ready = ops_->poll(&watched, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1000)));
    if (ready != 0 && !has_ended()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace gangway::detail
