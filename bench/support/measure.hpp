// What the programs of bench/ share: a clock, CPUs, memory, and how a result is reported.
//
// A program measures once and prints "key=value ..." on one line; support/harness.py runs
// it as often as needed, in turns with the others. Linux only.
#pragma once

#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  [[nodiscard]] double micros() const { return seconds() * 1e6; }
  [[nodiscard]] double millis() const { return seconds() * 1e3; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

inline void report(std::initializer_list<std::pair<const char*, double>> results) {
  for (const auto& [key, value] : results) std::printf("%s=%.9g ", key, value);
  std::printf("\n");
  std::fflush(stdout);
}

/// All threads that the process has now, and those that they will start.
inline void pin(pid_t pid, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task"))
    if (::sched_setaffinity(std::stoi(task.path().filename()), sizeof set, &set) != 0) std::perror("sched_setaffinity");
}

/// A number of /proc/PID/FILE that stands behind "KEY:"; 0 when it is not there.
inline long proc_number(pid_t pid, std::string_view file, std::string_view key) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/" + std::string(file));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ':')
      return std::strtol(line.c_str() + key.size() + 1, nullptr, 10);
  return 0;
}

inline double resident_mb(pid_t pid) { return static_cast<double>(proc_number(pid, "status", "VmRSS")) / 1024; }

}  // namespace bench
