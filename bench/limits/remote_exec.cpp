// Source text to a Python loop that compiles and executes it, and a result back: nothing
// but two pipes. On one CPU and on two.
#include <cstring>

#include "bench/limits/pipes.hpp"
#include "bench/support/measure.hpp"

namespace {

constexpr const char* loop =
    "import os\n"
    "def serve(read=os.read, write=os.write):\n"
    "    while True:\n"
    "        source = read(0, 65536)\n"
    "        if not source: break\n"
    "        exec(compile(source, '<remote exec>', 'exec'), {'write': write})\n"
    "serve()\n";
constexpr const char* source = "write(1, b'0123456789abcdef')";

double round_trip(const limits::Pipes& pipes, int count) {
  char answer[16];
  const bench::Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    limits::write_all(pipes.to_child[1], source, std::strlen(source));
    limits::read_all(pipes.from_child[0], answer, sizeof answer);
  }
  return watch.micros() / count;
}

}  // namespace

int main() {
  const limits::Pipes pipes;
  const pid_t child = limits::in_child(pipes, [](int in, int out) {
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::execl("/usr/bin/python3", "python3", "-I", "-S", "-c", loop, nullptr);
  });
  (void)round_trip(pipes, 1);
  bench::pin(::getpid(), 0);
  bench::pin(child, 0);
  (void)round_trip(pipes, 200);
  const double one = round_trip(pipes, 3'000);
  bench::pin(child, 1);
  (void)round_trip(pipes, 200);
  bench::report({{"one", one}, {"two", round_trip(pipes, 2'000)}});
  ::close(pipes.to_child[1]);
}
