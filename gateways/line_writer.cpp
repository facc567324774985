#include "gateways/line_writer.hpp"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

// A thread that has nothing to write stays for the next line so long: lines come in bursts.
constexpr std::chrono::milliseconds linger{20};

// As many whole lines as fit into one atomic write; at least one line.
std::string_view first_lines(std::string_view text) {
  if (text.size() <= PIPE_BUF) return text;
  std::size_t end = text.rfind('\n', PIPE_BUF - 1);
  if (end == text.npos) end = text.find('\n', PIPE_BUF);
  return text.substr(0, end == text.npos ? end : end + 1);
}

}  // namespace

std::shared_ptr<LineWriter> LineWriter::create(int fd) { return std::shared_ptr<LineWriter>(new LineWriter(fd)); }

std::shared_ptr<LineWriter> LineWriter::shared(int fd) {
  // Never destroyed: gateways that are static objects of the program end later than these would.
  static auto& mutex = *new std::mutex;
  static auto& writers = *new std::array<std::weak_ptr<LineWriter>, 2>;
  const std::lock_guard lock(mutex);
  auto& writer = writers.at(fd == STDOUT_FILENO ? 0 : 1);
  auto current = writer.lock();
  // A forked child inherits the object without its thread.
  if (!current || current->fork_.in_child()) writer = current = create(fd);
  return current;
}

bool LineWriter::offer(Output& output, OnRoom on_room) {
  if (fork_.in_child()) return true;
  const std::lock_guard lock(mutex_);
  if (!room_.has(output.text.size(), std::move(on_room))) return false;
  add(output.text);
  return true;
}

void LineWriter::push(Output output) {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  if (!room_.has_for_last_words(output.text.size()))
    trace::log("descriptor ", fd_, " takes nothing: ", output.text.size(), " bytes of output dropped");
  else
    add(output.text);
}

void LineWriter::add(std::string_view text) {
  waiting_.append(text);
  room_.take(text.size());
  added_.notify_one();
  if (running_ || waiting_.empty()) return;
  try {
    std::thread([self = shared_from_this()] { self->run(); }).detach();
    running_ = true;
  } catch (const std::system_error& problem) {  // no thread now: the next line tries again
    trace::log("descriptor ", fd_, ": output has to wait: ", problem.what());
  }
}

void LineWriter::run() {
  // The program's signal handlers do not run here, and a broken pipe is an error.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  while (added_.wait_for(lock, linger, [&] { return !waiting_.empty(); })) {
    const std::string lines = std::exchange(waiting_, {});
    lock.unlock();
    write(lines);
    lock.lock();
    const auto told = room_.give_back(lines.size());
    if (room_.is_empty()) written_.notify_all();
    lock.unlock();
    for (const OnRoom& on_room : told) on_room();
    lock.lock();
  }
  running_ = false;
}

void LineWriter::write(std::string_view lines) const {
  while (!lines.empty()) {
    std::string_view piece = first_lines(lines);
    lines.remove_prefix(piece.size());
    while (!piece.empty()) {
      const ssize_t size = ::write(fd_, piece.data(), piece.size());
      if (size >= 0) {
        piece.remove_prefix(static_cast<std::size_t>(size));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        pollfd room{fd_, POLLOUT, 0};  // somebody made it non-blocking
        (void)::poll(&room, 1, -1);
      } else if (errno != EINTR) {
        return;
      }
    }
  }
}

bool LineWriter::flush(std::chrono::milliseconds timeout) {
  if (fork_.in_child()) return false;
  std::unique_lock lock(mutex_);
  return written_.wait_for(lock, timeout, [&] { return room_.is_empty(); });
}

}  // namespace gangway::detail
