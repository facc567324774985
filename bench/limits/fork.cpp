// One fork of a process as large as an interpreter: the child writes a byte and ends.
#include <sys/wait.h>

#include <vector>

#include "bench/limits/pipes.hpp"
#include "bench/support/measure.hpp"

int main() {
  std::vector<char> memory(9 << 20, 1);  // 9 MiB, all of it touched
  int ready[2];
  if (::pipe(ready) != 0) std::abort();
  std::vector<double> times;
  for (int i = 0; i < 40; ++i) {
    const bench::Stopwatch watch;
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (std::size_t at = 0; at < memory.size() / 4; at += 4096) memory[at] = 2;
      if (::write(ready[1], "!", 1) != 1) ::_exit(1);
      ::_exit(0);
    }
    char byte;
    limits::read_all(ready[0], &byte, 1);
    (void)::waitpid(pid, nullptr, 0);
    times.push_back(watch.millis());
  }
  bench::report({{"ms", bench::median(times)}});
}
