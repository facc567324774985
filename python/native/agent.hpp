// The agent's side of its connection, as far as it needs no Python: jobs that wait to be
// run, the tasks that run, who waits, and how all that ends.
//
// Thread rule: every member may be called from any thread. The members of Owner are called
// on the thread that leads the runtime, with the connection's mutex held, and never take
// the GIL: status, pings and credit are answered while Python code holds it. The order of
// locks is connection, agent, runtime; the GIL before all of them.
// Lifetime: one per process, never destroyed: threads of user code may use it at exit.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "channels/channel_handle.hpp"
#include "channels/connection.hpp"
#include "core/file_descriptor.hpp"
#include "core/fork_guard.hpp"
#include "core/runtime.hpp"
#include "python/native/gil_probe.hpp"
#include "python/native/hello.hpp"
#include "python/native/stacks.hpp"

namespace gangway::python {

using detail::Connection;
using ChannelPtr = Connection::ChannelPtr;
using ThreadId = unsigned long;  // PyThread_get_thread_ident()

inline constexpr std::string_view interrupt_text = "keyboard-interrupted";  // as in task.py

/// What a task is called in a STATUS_REPLY: its file, and its function if one is called.
[[nodiscard]] std::string task_name(std::string file, const std::string& function);

class Agent final : public Connection::Owner, public std::enable_shared_from_this<Agent> {
 public:
  /// One thread's wait, which signals and interrupts may end early. On the stack of the
  /// thread that runs Python code.
  class Wait {
   public:
    explicit Wait(Agent& agent);
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    ~Wait();

    detail::Waiter waiter;
    /// Whether somebody wants KeyboardInterrupt raised here; once.
    [[nodiscard]] bool take_interrupt();

   private:
    friend class Agent;
    Agent& agent_;
    const ThreadId thread_;
    bool interrupted_ = false;  // the agent's mutex
  };

  struct Job {
    ChannelPtr channel;
    Bytes request;
    detail::Clock::time_point arrived = detail::Clock::now();
  };

  /// Takes the descriptors over. Called on the main thread.
  [[nodiscard]] static std::shared_ptr<Agent> create(const Hello& hello, detail::FileDescriptor read_end,
                                                     detail::FileDescriptor write_end);
  /// Answers HELLO and goes on with what was read behind it, HELLO included.
  void start(const Value& answer, Bytes received);

  [[nodiscard]] Connection& connection() noexcept { return *connection_; }
  [[nodiscard]] const std::shared_ptr<Connection>& connection_pointer() const noexcept { return connection_; }
  [[nodiscard]] const Hello& hello() const noexcept { return hello_; }
  [[nodiscard]] bool is_main_thread() const noexcept { return ::pthread_equal(main_thread_, ::pthread_self()) != 0; }
  [[nodiscard]] ThreadId main_thread() const noexcept { return main_thread_; }
  /// In a process that user code has forked: the wire belongs to the parent.
  [[nodiscard]] bool in_child() const noexcept { return fork_guard_.in_child(); }
  [[nodiscard]] int pid() const noexcept { return pid_; }
  [[nodiscard]] GilProbe& gil() noexcept { return *gil_; }

  // --- jobs

  /// The main thread has nothing to do but wait for a job; nullptr: no longer.
  void set_idle(Wait* wait);
  void wake_idle();
  /// With the GIL: a job that nobody can begin yet stays in the queue. The dispatcher gets one
  /// only while the main thread is not idle.
  enum class Taker { main, dispatcher };
  [[nodiscard]] std::optional<Job> take_job(Taker taker);

  enum class Event { job, ended, interrupts };
  /// The dispatcher's wait, which never leads. After `job` there may be none any more: the main
  /// thread was faster.
  [[nodiscard]] Event next_event();
  /// Threads in which KeyboardInterrupt is to be raised. With the GIL, so that none of them
  /// begins to wait before that was done.
  [[nodiscard]] std::vector<ThreadId> take_thread_interrupts();

  // --- tasks

  /// What the task of this channel is called in a STATUS_REPLY.
  void set_source(std::uint32_t channel, std::string source);
  /// The task of this channel runs from now on on this thread (false: no longer).
  /// True when it has been interrupted already.
  [[nodiscard]] bool set_executing(std::uint32_t channel, bool on);
  [[nodiscard]] bool is_executing(std::uint32_t channel);
  struct Finished {
    bool was_task = false;
    bool interrupted = false;  // this thread must not get a late KeyboardInterrupt
  };
  [[nodiscard]] Finished finish_task(std::uint32_t channel);
  /// This thread is the one that runs callbacks.
  void is_callback_thread();

  // --- signals and the end

  /// A byte written here (signal.set_wakeup_fd) wakes the main thread's wait.
  [[nodiscard]] int signal_fd() const noexcept { return signal_pipe_.write.get(); }
  /// What came in by it since the last call; only numbers of signals.
  [[nodiscard]] std::string take_signals();
  /// What the end of the connection is called; none while it lives.
  [[nodiscard]] std::optional<std::string> lost();

 private:
  struct Task {
    std::shared_ptr<detail::ChannelHandle> handle;  // dropping the user's must not end the task
    ThreadId thread = 0;
    detail::Clock::time_point arrived;
    std::string source;
    int tid = 0;  // as the operating system numbers the thread
    bool executing = false;
    bool interrupted = false;
  };

  Agent(const Hello& hello, std::shared_ptr<detail::Runtime> runtime, std::shared_ptr<Connection> connection);

  std::optional<std::string> on_hello(const Value&) override { return {}; }  // it was read before
  void on_exec(const ChannelPtr& channel, Bytes request) override;
  void on_interrupt(std::uint32_t channel) override;
  void on_terminate() override;
  std::optional<Value> on_status(std::uint64_t number, std::size_t live_channels) override;
  void on_stacks(std::uint64_t number) override;
  void on_stream_end(detail::ConnectionEnd end) override;

  class Inquiry;
  [[nodiscard]] detail::Clock::duration gil_silence(detail::Clock::duration busy);
  void reply_status(std::uint64_t number, detail::Clock::duration silence);
  void tell_tasks(Dict& status);
  void reply_stacks(std::uint64_t number, std::string text);
  [[nodiscard]] ThreadRoles roles();
  void interrupt_thread(ThreadId thread);
  void nudge_main(int times);
  [[nodiscard]] bool interrupt_waiting(ThreadId thread);

  void finish(detail::ConnectionEnd end);
  void end_when_written();
  void watch_signals();
  [[nodiscard]] Wait* wait_of(ThreadId thread);

  const Hello hello_;
  const std::shared_ptr<detail::Runtime> runtime_;
  const std::shared_ptr<Connection> connection_;
  const pthread_t main_thread_;
  const int pid_;
  const detail::ForkGuard fork_guard_;
  const std::unique_ptr<GilProbe> gil_ = std::make_unique<GilProbe>();
  Value answer_;  // our HELLO
  detail::Clock::time_point started_;
  // Who held the GIL when we looked last; the leading thread's.
  int gil_holder_ = 0;
  detail::Clock::time_point gil_held_since_;
  detail::Clock::duration gil_holder_used_{};  // processor time until then

  detail::Pipe signal_pipe_;
  boost::asio::posix::stream_descriptor signals_;  // its read end
  boost::asio::steady_timer end_timer_;
  boost::asio::steady_timer nudge_timer_;
  detail::Deadline end_deadline_;

  std::mutex mutex_;  // guards everything below
  std::deque<Job> jobs_;
  std::unordered_map<std::uint32_t, Task> tasks_;
  std::vector<Wait*> waits_;
  Wait* idle_ = nullptr;    // the main thread's, while it waits for a job
  bool main_busy_ = false;  // the main thread runs a task: others are for the dispatcher
  std::condition_variable dispatcher_;
  std::vector<ThreadId> thread_interrupts_;
  std::optional<ThreadId> callback_thread_;
  std::string signals_seen_;
  std::optional<std::string> lost_;
};

}  // namespace gangway::python
