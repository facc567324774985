// 16 bytes there and back over two pipes, on one CPU and on two.
#include "bench/limits/pipes.hpp"
#include "bench/support/measure.hpp"

namespace {

double round_trip(const limits::Pipes& pipes, int count) {
  char message[16] = {};
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    limits::write_all(pipes.to_child[1], message, sizeof message);
    limits::read_all(pipes.from_child[0], message, sizeof message);
  }
  return watch.micros() / count;
}

}  // namespace

int main() {
  const limits::Pipes pipes;
  const pid_t child = limits::in_child(pipes, [](int in, int out) {
    char message[16];
    while (::read(in, message, sizeof message) == sizeof message) limits::write_all(out, message, sizeof message);
  });
  bench::pin(::getpid(), 0);
  bench::pin(child, 0);
  (void)round_trip(pipes, 500);
  const double one = round_trip(pipes, 10'000);
  bench::pin(child, 1);
  (void)round_trip(pipes, 500);
  bench::report({{"one", one}, {"two", round_trip(pipes, 5'000)}});
}
