// Writes whole lines to this process's stdout or stderr, from a thread of its own: a full
// pipe, a stopped terminal or another process that writes there too holds up nobody else.
//
// The thread runs while there is something to write. Lines of several gateways are never
// torn by each other. By other processes neither, up to PIPE_BUF (4,096) bytes a line where
// the stream is a pipe: so many are one write.
//
// Thread rule: any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/fork_guard.hpp"
#include "gateways/output_room.hpp"
#include "gateways/output_sink.hpp"

namespace gangway::detail {

class LineWriter final : public OutputSink, public std::enable_shared_from_this<LineWriter> {
 public:
  /// The program's one for STDOUT_FILENO or STDERR_FILENO.
  [[nodiscard]] static std::shared_ptr<LineWriter> shared(int fd);
  /// One of its own. The descriptor stays the caller's.
  [[nodiscard]] static std::shared_ptr<LineWriter> create(int fd);

  [[nodiscard]] bool offer(Output& output, OnRoom on_room) override;
  void push(Output output) override;

  /// Waits until what was taken is written. False: not in time.
  bool flush(std::chrono::milliseconds timeout);

 private:
  explicit LineWriter(int fd) : fd_(fd) {}
  void add(std::string_view text);
  void run();
  /// What the stream does not take because it is broken is dropped.
  void write(std::string_view lines) const;

  const int fd_;
  const ForkGuard fork_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable added_;
  std::condition_variable written_;
  std::string waiting_;
  OutputRoom room_;  // for waiting_, and what is being written
  bool running_ = false;
};

}  // namespace gangway::detail
