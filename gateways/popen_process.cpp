#include "gateways/popen_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>

namespace gangway::detail {

namespace {

// 1 MiB moves 3 to 4 GB/s between two CPUs, the default 64 KiB 1 GB/s. Users without
// privileges have a limit of 64 MiB for all pipes; beyond it the default must do.
void enlarge(const FileDescriptor& pipe) noexcept { (void)::fcntl(pipe.get(), F_SETPIPE_SZ, 1024 * 1024); }

pid_t parent_of(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  // "pid (name) state ppid": the name may contain anything, a parenthesis too.
  const std::size_t at = text.rfind(')');
  if (at == std::string::npos || at + 4 >= text.size()) return -1;
  return static_cast<pid_t>(std::strtol(text.c_str() + at + 4, nullptr, 10));
}

}  // namespace

PopenProcess::PopenProcess(Runtime& runtime, SpawnRequest request, Start when, WarmStart* warm)
    : io_(runtime.io()), request_(std::move(request)), exited_(io_) {
  Pipe to_agent = make_pipe();
  Pipe from_agent = make_pipe();
  enlarge(to_agent.write);
  enlarge(from_agent.write);
  input_.reset(::fcntl(to_agent.read.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!input_) throw_error(last_os_error(), "cannot make a pipe: " + last_os_error().message());
  output_ = std::move(from_agent.write);
  stream_ =
      std::make_unique<FdStream>(io_, std::move(from_agent.read), std::move(to_agent.write), std::move(to_agent.read));
  if (when == Start::later) return;
  start(warm);
  keep_this_one();
}

void PopenProcess::start(WarmStart* warm) {
  if (const auto previous = pump()) previous->close();
  const std::lock_guard lock(mutex_);
  Pipe from_stderr = make_pipe();
  request_.descriptors = {
      {input_.get(), STDIN_FILENO}, {output_.get(), STDOUT_FILENO}, {from_stderr.write.get(), STDERR_FILENO}};
  ChildProcess child = warm != nullptr ? warm->start(request_) : ChildProcess::start(request_);
  stderr_ = std::make_shared<StderrPump>(io_, std::move(from_stderr.read));
  if (!watch_for(child.pidfd())) throw_error(last_os_error(), "cannot watch the process: " + last_os_error().message());
  child_ = std::move(child);
  pid_ = child_.pid();
  if (!watched_) return;
  stderr_->start(gateway_, sink_);
  wait_for_exit();
}

bool PopenProcess::watch_for(int pidfd) {
  FileDescriptor copy(::fcntl(pidfd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!copy) return false;
  boost::system::error_code error;
  exited_.close(error);
  exited_.assign(copy.get(), error);
  if (error) return false;
  (void)copy.release();
  return true;
}

std::shared_ptr<StderrPump> PopenProcess::pump() {
  const std::lock_guard lock(mutex_);
  return stderr_;
}

void PopenProcess::keep_this_one() noexcept {
  const std::lock_guard lock(mutex_);
  request_ = {};
  input_.reset();
  output_.reset();
}

void PopenProcess::watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) {
  const std::lock_guard lock(mutex_);
  on_end_ = std::move(on_end);
  gateway_ = std::move(gateway);
  sink_ = std::move(sink);
  watched_ = true;
  if (!stderr_) return;  // not started yet
  stderr_->start(gateway_, sink_);
  wait_for_exit();
}

void PopenProcess::wait_for_exit() {
  exited_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [weak = weak_from_this()](boost::system::error_code error) {
                       // Weak: ending a process takes time, which the leading thread must not spend.
                       const auto self = error ? nullptr : weak.lock();
                       if (self) self->poll();
                     });
}

void PopenProcess::poll() {
  {
    const std::lock_guard lock(mutex_);
    if (child_ && child_.has_ended()) {
      child_.signal_group(SIGKILL);  // what the keeper may have left in its own group
      const auto status = child_.try_reap();
      if (status && status->signal) end_worker_group();
      if (status && status->signal == SIGKILL && !killed_here_ && oom_kills_before_)
        out_of_memory_ = oom_kills() > oom_kills_before_;
    }
    if (!child_.status()) return;
    // The keeper was killed: the agent is about to end.
    if (!worker_ended() && watch_for(worker_.get())) return wait_for_exit();
    worker_.reset();  // nobody asks for its number any more; without descriptors nobody waits for it either
  }
  if (!again()) finish();
}

// A keeper that was killed leaves that to us: it may not have come to it when its worker had ended, and the
// signal that its end is for the worker's group needs the worker. While there is anybody in the group its
// number is nobody else's; and when it has become another process's, that one is there to be seen.
void PopenProcess::end_worker_group() noexcept {
  if (!worker_) return;
  const bool lives = ::syscall(SYS_pidfd_send_signal, worker_.get(), SIGKILL, nullptr, 0) == 0;
  if (lives || (::kill(worker_pid_, 0) != 0 && errno == ESRCH)) ::kill(-worker_pid_, SIGKILL);
}

bool PopenProcess::worker_ended() const noexcept {
  if (!worker_) return true;
  pollfd ended{worker_.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) != 0;
}

void PopenProcess::finish() {
  std::function<void()> on_end;
  {
    const std::lock_guard lock(mutex_);
    if (child_) return;
    over_ = true;
    input_.reset();
    output_.reset();
    on_end = std::exchange(on_end_, nullptr);
  }
  if (on_end) on_end();
}

bool PopenProcess::ended() {
  const std::lock_guard lock(mutex_);
  return over_;
}

DeathRecord PopenProcess::death() {
  const auto errors = pump();
  if (!errors) return {};
  errors->drain();
  const std::lock_guard lock(mutex_);
  DeathRecord record;
  if (child_.status()) record = child_.status()->death_record();
  record.stderr_tail = errors->tail();
  record.killed_here = killed_here_ && record.signal;
  record.out_of_memory = out_of_memory_;
  return record;
}

void PopenProcess::set_worker(pid_t pid) {
  const std::lock_guard lock(mutex_);
  if (!child_ || pid <= 1 || parent_of(pid) != pid_) return;
  FileDescriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // Only now the number is pinned: look again.
  if (!pidfd || parent_of(pid) != pid_) return;
  worker_pid_ = pid;
  worker_ = std::move(pidfd);
}

void PopenProcess::ask_keeper() noexcept {
  const std::lock_guard lock(mutex_);
  if (child_ && child_.signal(SIGTERM)) killed_here_ = true;
}

void PopenProcess::kill() noexcept {
  const std::lock_guard lock(mutex_);
  killed_here_ = killed_here_ || (child_ && !child_.has_ended());  // the keeper ends with its worker
  end_worker_group();
  if (!child_) return;
  child_.signal_group(SIGKILL);
  child_.signal(SIGKILL);
}

void PopenProcess::close() noexcept {
  if (const auto errors = pump()) errors->close();
  const std::lock_guard lock(mutex_);
  worker_.reset();
  boost::system::error_code ignored;
  exited_.close(ignored);
}

}  // namespace gangway::detail
