// The process side of a popen gateway: the agent's keeper as a child of this program, its
// pipes, its stderr, and the news of its end.
//
// Thread rule: the end is reported on the leading thread; everything else on any.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/process.hpp"
#include "core/runtime.hpp"
#include "gateways/fd_stream.hpp"
#include "gateways/oom_kills.hpp"
#include "gateways/stderr_pump.hpp"
#include "gateways/transport.hpp"
#include "gateways/warm_start.hpp"

namespace gangway::detail {

class PopenProcess : public Transport, public std::enable_shared_from_this<PopenProcess> {
 public:
  enum class Start { now, later };
  /// Of the request argv and environment count. `warm`: who starts it, if it may be forked. Throws
  /// SpawnError.
  PopenProcess(Runtime& runtime, SpawnRequest request, Start start = Start::now, WarmStart* warm = nullptr);

  [[nodiscard]] std::unique_ptr<ByteStream> take_stream() override { return std::move(stream_); }
  void watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) override;

  /// Believed only if that process is the keeper's child.
  void set_worker(pid_t pid) override;
  [[nodiscard]] pid_t pid() const noexcept override { return pid_; }
  [[nodiscard]] std::string description() const override {
    return pid_ < 0 ? "not started yet" : "pid " + std::to_string(pid_);
  }
  /// Keeper and agent have ended, the former is reaped.
  [[nodiscard]] bool ended() override;
  /// With the end of stderr, as far as that is there now.
  [[nodiscard]] DeathRecord death() override;

  /// Tells the keeper to kill the agent's process group.
  void ask_keeper() noexcept override;
  /// Kills the agent's group and the keeper's, now.
  void kill() noexcept override;
  void close() noexcept override;

 protected:
  // For those with Start::later, which may also start it anew: the pipes stay, with what is in them.
  /// Throws SpawnError.
  void start(WarmStart* warm = nullptr);
  /// None will be started anew: the end of this one's output is the end of the stream.
  void keep_this_one() noexcept;
  /// When the process has ended, on the leading thread: whether another one is started, sooner or later.
  [[nodiscard]] virtual bool again() { return false; }
  /// Unless there is a process: there will be none any more.
  void finish();

 private:
  [[nodiscard]] std::shared_ptr<StderrPump> pump();
  void wait_for_exit();
  void poll();
  [[nodiscard]] bool watch_for(int pidfd);
  void end_worker_group() noexcept;
  [[nodiscard]] bool worker_ended() const noexcept;

  boost::asio::io_context& io_;
  std::mutex mutex_;  // guards what follows
  SpawnRequest request_;
  FileDescriptor input_;  // the process's ends of the pipes, as long as one may be started
  FileDescriptor output_;
  ChildProcess child_;
  std::atomic<pid_t> pid_ = -1;  // the keeper's
  pid_t worker_pid_ = -1;
  FileDescriptor worker_;                         // a pidfd
  boost::asio::posix::stream_descriptor exited_;  // a copy of the pidfd that is waited for
  std::unique_ptr<ByteStream> stream_;
  std::shared_ptr<StderrPump> stderr_;  // of the process that was started last
  std::string gateway_;                 // whose stderr it is, from watch() on
  std::shared_ptr<OutputSink> sink_;
  std::function<void()> on_end_;
  bool watched_ = false;
  bool over_ = false;
  bool killed_here_ = false;
  const std::optional<std::uint64_t> oom_kills_before_ = oom_kills();
  std::optional<bool> out_of_memory_;  // once it was killed by somebody else
};

}  // namespace gangway::detail
