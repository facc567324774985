#include "python/native/warm.hpp"

#include "python/common/py_ref.hpp"  // Python.h, which marshal.h needs

#include <fcntl.h>
#include <linux/sched.h>
#include <marshal.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "gateways/warm_protocol.hpp"
#include "python/native/frozen.hpp"
#include "python/native/keeper.hpp"
#include "python/native/module.hpp"
#include "python/native/stdio.hpp"

namespace gangway::python {

namespace {

using detail::FileDescriptor;
using Descriptors = std::array<FileDescriptor, 3>;

// A file or directory as it was when Python started.
class ReadFile {
 public:
  explicit ReadFile(std::string path) : path_(std::move(path)), identity_(look()) {}
  [[nodiscard]] bool unchanged() const { return look() == identity_; }

 private:
  using Identity = std::array<std::int64_t, 5>;
  [[nodiscard]] Identity look() const {
    struct stat status {};
    if (::stat(path_.c_str(), &status) != 0) return {};
    return {static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino), status.st_size,
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }
  std::string path_;
  Identity identity_;
};

std::vector<ReadFile> read_files() {
  const PyRef globals = PyRef::check(PyDict_New());
  check_status(PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins()));
  const PyRef code =
      PyRef::check(PyMarshal_ReadObjectFromString(frozen_warm.data(), static_cast<Py_ssize_t>(frozen_warm.size())));
  PyRef::check(PyEval_EvalCode(code.get(), globals.get(), globals.get()));
  const PyRef sys = PyRef::check(PyImport_ImportModule("sys"));
  PyObject* const function = PyDict_GetItemString(globals.get(), "read_paths");
  const PyRef paths = PyRef::check(PyObject_CallOneArg(function, sys.get()));
  std::vector<ReadFile> files;
  for (Py_ssize_t at = 0; at < PyList_GET_SIZE(paths.get()); ++at) {
    const PyRef bytes = PyRef::check(PyUnicode_EncodeFSDefault(PyList_GET_ITEM(paths.get(), at)));
    files.emplace_back(PyBytes_AS_STRING(bytes.get()));
  }
  return files;
}

// Of what an interpreter that was started before us did at its start, threads and descriptors are
// seen later, with those of ours; here is the rest. Descriptors that were inherited have no
// FD_CLOEXEC, those that Python opens have it.
bool nothing_happened() {
  struct stat words {};
  if (::fstat(STDERR_FILENO, &words) == 0 && S_ISREG(words.st_mode) && words.st_size != 0) return false;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::atoi(entry.path().filename().c_str());
    std::error_code gone;
    const bool listing = std::filesystem::read_symlink(entry.path(), gone).string().ends_with("/fd");
    if (!listing && (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) return false;
  }
  return true;
}

std::set<std::string> entries(const char* directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

FileDescriptor move_away(FileDescriptor fd) {
  FileDescriptor moved(fd ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, private_descriptors) : -1);
  if (!moved) throw_error(detail::last_os_error(), "too few descriptors for a warm server");
  return moved;
}

class WarmServer {
 public:
  explicit WarmServer(const std::function<std::string()>& start_python) {
    if (!nothing_happened()) {
      socket_ = FileDescriptor(STDIN_FILENO);
      ready(false);
    }
    socket_ = move_away(FileDescriptor(STDIN_FILENO));
    const pid_t controller = ::getppid();
    controller_ = move_away(FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, controller, 0))));
    if (detail::maker_of(socket_.get()) != controller) ::_exit(0);  // it has died already
    // As in an agent: the null device, and a pipe, whose reader is nobody else here.
    detail::Pipe words = detail::make_pipe();
    words_ = move_away(std::move(words.read));
    if (::open("/dev/null", O_RDWR) != STDIN_FILENO || ::dup2(STDIN_FILENO, STDOUT_FILENO) < 0 ||
        ::dup2(words.write.get(), STDERR_FILENO) < 0 || detail::set_nonblocking(STDERR_FILENO) ||
        detail::set_nonblocking(words_.get()))
      throw_error(detail::last_os_error(), "no descriptors 0 to 2");
    words.write.reset();

    const auto before = entries("/proc/self/fd");
    if (!start_python().empty() || !prepare_module()) ::_exit(1);
    files_ = read_files();
    // Else each fork would soon do it, and copy every page that has an object.
    PyGC_Collect();
    char byte = 0;
    const bool silent = ::read(words_.get(), &byte, 1) < 0;
    const bool alone = entries("/proc/self/task").size() == 1;
    ready(silent && alone && entries("/proc/self/fd") == before && find_thread_id());
  }

  void serve() {
    for (;;) {
      std::array<pollfd, 2> watched{{{socket_.get(), POLLIN, 0}, {controller_.get(), POLLIN, 0}}};
      if (::poll(watched.data(), watched.size(), -1) < 0) continue;
      if (watched[1].revents != 0) ::_exit(0);
      auto descriptors = detail::receive_request(socket_.get());
      if (!descriptors) ::_exit(0);
      if (!std::all_of(files_.begin(), files_.end(), [](const ReadFile& file) { return file.unchanged(); })) {
        answer({ESTALE, 0});
        ::_exit(0);
      }
      const bool complete = std::all_of(descriptors->begin(), descriptors->end(), [](const auto& fd) { return !!fd; });
      if (!complete) {
        answer({EMFILE, 0});
        continue;
      }
      if (fork_agent(*descriptors)) return;
    }
  }

 private:
  // Whatever site, or what it imported, did beyond that stays behind in a fork, or is missing.
  void ready(bool fit) {
    detail::WarmReady ready;
    ready.fit = fit ? 1 : 0;
    if (send(ready) || ready.fit == 0) ::_exit(0);
    // A signal that comes to this process must not come up in its forks: Python would have noted it.
    ::sigset_t interrupt;
    ::sigemptyset(&interrupt);
    ::sigaddset(&interrupt, SIGINT);
    ::sigprocmask(SIG_BLOCK, &interrupt, &signals_);
  }

  // Where glibc keeps the number of this thread, which fork() updates and clone3() does not.
  // A kernel without checkpoint/restore does not tell.
  [[nodiscard]] bool find_thread_id() noexcept {
    return ::prctl(PR_GET_TID_ADDRESS, &thread_id_) == 0 && thread_id_ != nullptr && *thread_id_ == ::getpid();
  }

  // True in the agent.
  [[nodiscard]] bool fork_agent(Descriptors& descriptors) {
    PyOS_BeforeFork();
    clone_args arguments{};
    arguments.flags = CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;  // our signal at its end: SIGCHLD
    arguments.child_tid = reinterpret_cast<std::uintptr_t>(thread_id_);
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
    if (pid == 0) {
      become_agent(descriptors);
      return true;
    }
    const int error = errno;
    PyOS_AfterFork_Parent();
    answer(pid < 0 ? detail::WarmForked{error, 0} : detail::WarmForked{0, pid});
    return false;
  }

  void become_agent(Descriptors& descriptors) {
    for (int to = 0; to <= STDERR_FILENO; ++to) {
      auto& from = descriptors[static_cast<std::size_t>(to)];
      if (::dup2(from.get(), to) < 0) ::_exit(1);
      from.reset();
    }
    for (FileDescriptor* const ours : {&socket_, &controller_, &words_}) ours->reset();
    ::sigprocmask(SIG_SETMASK, &signals_, nullptr);
    fork_keeper();
    PyOS_AfterFork_Child();
  }

  template <class Packet>
  [[nodiscard]] bool send(const Packet& packet) noexcept {
    return detail::send_packet(socket_.get(), std::as_bytes(std::span(&packet, 1))).failed();
  }
  void answer(const detail::WarmForked& forked) {
    if (send(forked)) ::_exit(0);
  }

  FileDescriptor socket_;
  FileDescriptor controller_;  // a pidfd: a fork of the controller may hold the other end of the socket
  FileDescriptor words_;       // what is written to stderr while Python starts
  std::vector<ReadFile> files_;
  int* thread_id_ = nullptr;
  sigset_t signals_{};  // blocked in agents
};

}  // namespace

bool is_warm_server() noexcept { return detail::is_warm_socket(STDIN_FILENO); }

void serve_forks(const std::function<std::string()>& start_python) { WarmServer(start_python).serve(); }

}  // namespace gangway::python
