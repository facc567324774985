// Bare interpreters: one that does nothing, the same without site and environment, 50 of
// them two at a time, and the memory of an idle one.
#include <signal.h>
#include <spawn.h>

#include "bench/limits/pipes.hpp"
#include "bench/support/measure.hpp"

namespace {

pid_t start(std::initializer_list<const char*> arguments) {
  std::vector<char*> argv{const_cast<char*>("/usr/bin/python3")};
  for (const char* argument : arguments) argv.push_back(const_cast<char*>(argument));
  argv.push_back(nullptr);
  pid_t pid = 0;
  if (::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0) std::abort();
  return pid;
}

double run(std::initializer_list<const char*> arguments) {
  std::vector<double> times;
  for (int i = 0; i < 10; ++i) {
    const bench::Stopwatch watch;
    (void)::waitpid(start(arguments), nullptr, 0);
    times.push_back(watch.millis());
  }
  return bench::median(times);
}

double fifty() {
  const bench::Stopwatch watch;
  for (int started = 0, ended = 0; ended < 50; ++ended) {
    while (started < 50 && started < ended + 2) {
      (void)start({"-c", "pass"});
      ++started;
    }
    (void)::wait(nullptr);
  }
  return watch.seconds();
}

double idle_memory() {
  int ready[2];
  if (::pipe(ready) != 0) std::abort();
  const std::string tell = "import os, time; os.write(" + std::to_string(ready[1]) + ", b'!'); time.sleep(60)";
  const pid_t pid = start({"-c", tell.c_str()});
  char byte;
  limits::read_all(ready[0], &byte, 1);
  const double size = bench::resident_mb(pid);
  ::kill(pid, SIGKILL);
  (void)::waitpid(pid, nullptr, 0);
  return size;
}

}  // namespace

int main() {
  const double plain = run({"-c", "pass"});
  const double isolated = run({"-I", "-S", "-c", "pass"});
  bench::report({{"plain_ms", plain}, {"isolated_ms", isolated}, {"s", fifty()}, {"rss_mb", idle_memory()}});
}
