// A program whose standard streams arrive later, as from a far host: what `command=` starts in
// front of an interpreter.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

/// Carries bytes from one descriptor to another, each so much later, until the end of them.
inline void carry_late(int from, int to, std::chrono::milliseconds delay) {
  using Clock = std::chrono::steady_clock;
  std::mutex mutex;
  std::condition_variable more;
  std::deque<std::pair<Clock::time_point, std::vector<char>>> line;  // an empty piece is the end
  std::thread reader([&] {
    for (bool open = true; open;) {
      std::vector<char> piece(64 * 1024);
      const ssize_t size = ::read(from, piece.data(), piece.size());
      open = size > 0;
      piece.resize(open ? static_cast<std::size_t>(size) : 0);
      const std::lock_guard lock(mutex);
      line.emplace_back(Clock::now() + delay, std::move(piece));
      more.notify_one();
    }
  });
  for (;;) {
    std::unique_lock lock(mutex);
    more.wait(lock, [&] { return !line.empty(); });
    const auto [due, piece] = std::move(line.front());
    line.pop_front();
    lock.unlock();
    std::this_thread::sleep_until(due);
    if (piece.empty()) break;
    for (std::size_t at = 0; at < piece.size();) {
      const ssize_t size = ::write(to, piece.data() + at, piece.size() - at);
      if (size <= 0) ::_exit(1);  // nobody reads
      at += static_cast<std::size_t>(size);
    }
  }
  ::close(to);
  reader.join();
}

/// Runs `argv` behind a line of that delay in each direction; gives its exit status.
inline int run_behind_slow_line(std::chrono::milliseconds delay, char** argv) {
  int in[2], out[2];
  if (::pipe(in) != 0 || ::pipe(out) != 0) return 126;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
    ::execvp(argv[0], argv);
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  std::thread([&] { carry_late(0, in[1], delay); }).detach();
  carry_late(out[0], 1, delay);
  int status = 0;
  ::waitpid(pid, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

}  // namespace bench
