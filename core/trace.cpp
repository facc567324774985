#include "core/trace.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/escape.hpp"

namespace gangway::trace {

namespace {

// A write of up to this many bytes into a pipe is atomic, and does not block once poll()
// has found the pipe writable (pipe(7): Linux reports that from one free page on).
constexpr std::size_t longest_line = PIPE_BUF;
// What a reader of stderr may take to make room before lines are dropped, and what a thread
// waits for another one's line. A strand that traces is late by the sum of them at most.
constexpr int sink_wait_ms = 20;
constexpr auto turn_wait = std::chrono::milliseconds(5);

// Trivially destructible, for threads that trace while the program exits. A flag instead
// of a mutex: one that a thread held during fork() only costs the child its lines.
constinit std::atomic<int> current_level{0};
constinit std::atomic<const char*> file_prefix{"/gangway-debug-"};
constinit std::atomic<std::uint64_t> dropped_lines{0};
constinit std::atomic_flag busy = ATOMIC_FLAG_INIT;
// Touched only by who holds `busy`.
constinit int file = -1;
constinit pid_t file_owner = -1;
constinit bool sink_stalled = false;
constinit std::uint64_t reported_lines = 0;

bool take_turn() noexcept {
  const auto deadline = std::chrono::steady_clock::now() + turn_wait;
  while (busy.test_and_set(std::memory_order_acquire)) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

/// As Python's tempfile: the first of them that can be written to.
std::string temporary_directory() {
  for (const char* name : {"TMPDIR", "TEMP", "TMP"}) {
    const char* directory = std::getenv(name);
    if (directory && *directory && ::access(directory, W_OK | X_OK) == 0) return directory;
  }
  for (const char* directory : {"/tmp", "/var/tmp", "/usr/tmp"}) {
    if (::access(directory, W_OK | X_OK) == 0) return directory;
  }
  return ".";
}

/// The name can be guessed and the directory is everybody's: nothing that somebody else
/// put there is followed or written to.
int open_file(const std::string& name) {
  const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  struct stat status {};
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && status.st_nlink == 1) {
    return fd;
  }
  ::close(fd);
  return -1;
}

/// The descriptor to write to, -1 when there is none. A forked child gets a file of its own.
int sink() {
  if (level() == 2) return STDERR_FILENO;
  if (file < 0 || file_owner != ::getpid()) {
    if (file >= 0) ::close(file);
    file = open_file(file_name());
    file_owner = ::getpid();
  }
  return file;
}

/// Keeps the signals that a write can raise (nobody reads stderr; the file size limit is
/// reached) from ending the program, and leaves alone one that was pending before.
class QuietWrites {
 public:
  QuietWrites() noexcept {
    sigemptyset(&signals_);
    sigset_t pending;
    sigemptyset(&pending);
    ::sigpending(&pending);
    for (const int number : {SIGPIPE, SIGXFSZ}) {
      if (!sigismember(&pending, number)) sigaddset(&signals_, number);
    }
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~QuietWrites() {
    constexpr timespec at_once{};
    while (::sigtimedwait(&signals_, nullptr, &at_once) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  QuietWrites(const QuietWrites&) = delete;
  QuietWrites& operator=(const QuietWrites&) = delete;

 private:
  sigset_t signals_;
  sigset_t before_;
};

bool write_line(const std::string& text) {
  pollfd target{sink(), POLLOUT, 0};
  if (target.fd < 0) return false;
  // A reader that lets us wait once is not waited for again until it has read.
  sink_stalled = ::poll(&target, 1, sink_stalled ? 0 : sink_wait_ms) == 0;
  if (sink_stalled) return false;
  const QuietWrites quiet;
  return ::write(target.fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string formatted(std::string_view text, std::uint64_t missing) {
  std::string out = "[" + std::to_string(::getpid()) + "] ";
  if (missing != 0) out += "(" + std::to_string(missing) + " lines dropped) ";
  for (const char c : gangway::detail::escape_for_display(text.substr(0, longest_line))) {
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  if (out.size() + 1 > longest_line || text.size() > longest_line) {
    std::size_t end = std::min(out.size(), longest_line - 4);
    while (end < out.size() && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;  // whole characters
    out.resize(end);
    out += "...";
  }
  return out + "\n";
}

// Before main, and when a shared library that holds this is loaded.
[[maybe_unused]] const bool configured = (configure(), true);

}  // namespace

void line(std::string_view text) noexcept {
  if (!on()) return;
  const int saved = errno;
  bool written = false;
  if (take_turn()) {
    try {
      const std::uint64_t total = dropped_lines.load(std::memory_order_relaxed);
      written = write_line(formatted(text, total - reported_lines));
      if (written) reported_lines = total;
    } catch (...) {  // no memory
    }
    busy.clear(std::memory_order_release);
  }
  if (!written) dropped_lines.fetch_add(1, std::memory_order_relaxed);
  errno = saved;
}

int level() noexcept { return current_level.load(std::memory_order_relaxed); }

void set_level(int level) noexcept {
  current_level.store(level, std::memory_order_relaxed);
  detail::enabled.store(level > 0, std::memory_order_relaxed);
}

void configure() noexcept {
  const char* value = std::getenv("GANGWAY_DEBUG");
  // Programs that look for execnet's file find it.
  file_prefix = value ? "/gangway-debug-" : "/execnet-debug-";
  if (value) {
    if (std::strcmp(value, "0") == 0) value = "";
  } else {
    value = std::getenv("EXECNET_DEBUG");  // there "0" means what "1" does
  }
  if (!value || !*value) {
    set_level(0);
  } else {
    set_level(std::strcmp(value, "2") == 0 ? 2 : 1);
  }
}

std::string file_name() {
  if (level() != 1) return {};
  return temporary_directory() + file_prefix.load() + std::to_string(::getpid());
}

std::uint64_t dropped() noexcept { return dropped_lines.load(std::memory_order_relaxed); }

}  // namespace gangway::trace
