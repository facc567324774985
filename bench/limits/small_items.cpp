// 200,000 messages of 16 bytes through a pipe, one write each, read as they come.
#include "bench/limits/pipes.hpp"
#include "bench/support/measure.hpp"

int main() {
  constexpr int count = 200'000;
  const limits::Pipes pipes;
  (void)limits::in_child(pipes, [](int in, int out) {
    char message[16] = {};
    limits::read_all(in, message, 1);
    for (int i = 0; i < count; ++i) limits::write_all(out, message, sizeof message);
  });
  limits::write_all(pipes.to_child[1], "!", 1);
  static char buffer[65536];
  const bench::Stopwatch watch;
  for (long missing = count * 16L; missing > 0;) missing -= ::read(pipes.from_child[0], buffer, sizeof buffer);
  bench::report({{"rate", count / watch.micros()}});
}
