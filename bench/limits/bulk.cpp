// Blocks through a pipe of 1 MiB: 1 MiB into the same buffer each time; 64 MiB into memory
// that is fresh each time, because the user of an item keeps it.
#include <sys/mman.h>

#include <cstring>

#include "bench/limits/pipes.hpp"
#include "bench/support/measure.hpp"

namespace {

double transfer(std::size_t size, int count, bool fresh) {
  const limits::Pipes pipes;
  (void)limits::in_child(pipes, [&](int in, int out) {
    char* const item = static_cast<char*>(std::malloc(size));
    std::memset(item, 'x', size);
    limits::write_all(out, "!", 1);
    char start;
    limits::read_all(in, &start, 1);
    for (int i = 0; i < count; ++i) limits::write_all(out, item, size);
  });
  const auto map = [&] {
    return static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  };
  char* item = map();
  std::memset(item, 'x', size);
  limits::read_all(pipes.from_child[0], item, 1);
  limits::write_all(pipes.to_child[1], "!", 1);
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    if (fresh) {
      ::munmap(item, size);
      item = map();
    }
    limits::read_all(pipes.from_child[0], item, size);
  }
  const double seconds = watch.seconds();
  (void)::wait(nullptr);
  return static_cast<double>(size) * count / seconds / 1e9;
}

}  // namespace

int main() {
  constexpr std::size_t mib = 1024 * 1024;
  const double small = transfer(mib, 512, false);
  const double reused = transfer(64 * mib, 8, false);
  bench::report({{"1m", small}, {"64m", transfer(64 * mib, 8, true)}, {"64m_reused", reused}});
}
