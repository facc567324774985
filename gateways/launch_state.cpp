#include "gateways/launch_state.hpp"

#include <fcntl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

namespace {

// Lines of /proc/thread-self/status that a child inherits; the others change all the time.
// SigIgn has more than that (a start sets some signals back), which errs on the safe side.
constexpr std::array<std::string_view, 17> inherited{
    "Umask",  "Uid",    "Gid",        "Groups",  "THP_enabled",     "SigIgn",       "CapInh",       "CapPrm", "CapEff",
    "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed", "Mems_allowed", "NSsid"};

constexpr std::array<const char*, 8> namespaces{"mnt",  "net",    "uts",  "ipc",
                                                "user", "cgroup", "time", "pid_for_children"};

class Collector {
 public:
  void add(std::string_view part) {
    text_ += part;
    text_ += '\0';
  }
  template <class T>
  void add_bytes(const T& value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void add_file_identity(const char* path) {
    struct stat status {};
    if (::stat(path, &status) != 0) {
      complete_ = false;
      return;
    }
    for (const auto number : {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino)})
      add_bytes(number);
  }
  void add_executable(const char* path) {
    struct stat status {};
    add_file_identity(path);
    if (::stat(path, &status) != 0) return;
    add_bytes(status.st_mtim);
    add_bytes(status.st_size);
  }
  void add_proc(const char* path, bool status_lines = false) {
    const FileDescriptor file(::open(path, O_RDONLY | O_CLOEXEC));
    const std::size_t start = text_.size();
    std::array<char, 4096> buffer;
    ssize_t size = -1;
    while (file && (size = ::read(file.get(), buffer.data(), buffer.size())) > 0)
      text_.append(buffer.data(), static_cast<std::size_t>(size));
    if (size != 0) complete_ = false;
    if (!status_lines) return;
    const std::string all = text_.substr(start);
    text_.resize(start);
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = std::min(all.find('\n', at), all.size());
      const std::string_view line = std::string_view(all).substr(at, end - at);
      if (std::find(inherited.begin(), inherited.end(), line.substr(0, line.find(':'))) != inherited.end()) add(line);
      at = end + 1;
    }
  }
  [[nodiscard]] bool complete() const { return complete_; }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
  bool complete_ = true;
};

}  // namespace

std::optional<LaunchState> LaunchState::now(const SpawnRequest& request) {
  Collector collector;
  for (const std::string& word : request.argv) collector.add(word);
  collector.add_executable(request.argv.front().c_str());
  for (const std::string& variable : environment(request.extra_env)) collector.add(variable);
  collector.add_file_identity(".");
  collector.add_file_identity("/");
  collector.add_proc("/proc/thread-self/status", true);
  collector.add_proc("/proc/thread-self/cgroup");
  collector.add_proc("/proc/self/oom_score_adj");
  for (const char* const name : namespaces) {
    std::array<char, 64> target{};  // "mnt:[4026531841]"; what the kernel has not is not inherited
    (void)::readlink((std::string("/proc/thread-self/ns/") + name).c_str(), target.data(), target.size() - 1);
    collector.add(target.data());
  }
  for (int resource = 0; resource < static_cast<int>(RLIM_NLIMITS); ++resource) {
    rlimit limit{};
    (void)::getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    collector.add_bytes(limit);
  }
  std::array<std::byte, 64> scheduling{};  // struct sched_attr: policy, nice, priority
  (void)::syscall(SYS_sched_getattr, 0, scheduling.data(), scheduling.size(), 0);
  collector.add_bytes(scheduling);
  collector.add_bytes(::syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0));
  collector.add_bytes(::personality(0xffffffff));
  collector.add_bytes(::prctl(PR_GET_TIMERSLACK));
  collector.add_bytes(::prctl(PR_GET_SECUREBITS));
  collector.add_bytes(::getsid(0));
  if (!collector.complete()) return {};
  LaunchState state;
  state.text_ = collector.take();
  return state;
}

}  // namespace gangway::detail
