// Whoever waits, leads: one io_context serves a program's gateways, and the thread that
// has to wait runs it until its own wait is over (spec-docs/threads.md).
//
// A hand-over between threads costs more than everything else in a round trip, so there
// is none in the common case. Exactly one thread leads at a time. While nobody waits, a
// stand-by thread takes the lead, lazily: it looks every tick, and only while there is
// something going on.
//
// Thread rule: every member may be called from any thread. Handlers on io() run on the
// leading thread and must not block, nor call user code.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/fork_guard.hpp"

namespace gangway::detail {

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;  // none: wait for ever

/// `timeout` from now; a timeout too large for the clock is no deadline.
[[nodiscard]] Deadline deadline_after(std::optional<std::chrono::nanoseconds> timeout);

class Runtime;

/// One thread's wait for one event. Lives on the waiting thread's stack; may be used again
/// after rearm().
class Waiter {
 public:
  explicit Waiter(Runtime& runtime) : runtime_(runtime) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// Ends the wait, now or in future. The waiter must stay alive until this returns: call
  /// it with the lock held under which the waiting thread unregisters itself.
  void notify();
  [[nodiscard]] bool notified() const noexcept { return ready_.load(std::memory_order_acquire); }
  void rearm() noexcept { ready_.store(false, std::memory_order_relaxed); }

 private:
  friend class Runtime;
  Runtime& runtime_;
  std::atomic<bool> ready_{false};
  std::condition_variable wake_;  // with Runtime::mutex_
  Waiter* next_ = nullptr;        // in the list of those that sleep
};

class Runtime : public std::enable_shared_from_this<Runtime> {
 public:
  /// The process's runtime: made when first asked for, also in a forked child; stopped when nobody holds it.
  [[nodiscard]] static std::shared_ptr<Runtime> shared();
  /// One of its own.
  [[nodiscard]] static std::shared_ptr<Runtime> create();

  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  [[nodiscard]] boost::asio::io_context& io() noexcept { return io_; }

  /// Blocks until the waiter is notified (true) or the deadline passes (false). Takes no
  /// memory, nor does notify(): when it has run out, the news of that still come through.
  [[nodiscard]] bool wait(Waiter& waiter, Deadline deadline) noexcept;

  /// Something is under way that nobody may be waiting for: the stand-by will see to it.
  void keep_going();

  /// Something that holds back output for the sake of larger writes; the stand-by calls
  /// flush() within two ticks of flush_soon(), from its own thread.
  class Flusher {
   public:
    virtual void flush() = 0;

   protected:
    ~Flusher() = default;
  };
  void flush_soon(std::weak_ptr<Flusher> flusher);

  /// True on the thread that runs a handler: blocking there could only wait for itself.
  [[nodiscard]] static bool in_handler() noexcept;

 private:
  friend class Waiter;

  Runtime();
  void stop();
  void lead(Waiter& waiter, Deadline deadline, std::unique_lock<std::mutex>& lock);
  void follow(Waiter& waiter, Deadline deadline, std::unique_lock<std::mutex>& lock);
  template <class Run>
  void run_handlers(Run run) noexcept;
  void hand_over();
  void interrupt_leader() noexcept;
  void rouse_stand_by();
  void stand_by();
  void lead_as_stand_by(std::unique_lock<std::mutex>& lock);
  void run_flushers();

  const ForkGuard fork_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;

  std::mutex mutex_;
  Waiter* leader_ = nullptr;      // a waiting thread that leads
  bool stand_by_leads_ = false;   // or the stand-by
  bool lead_wanted_ = false;      // a waiting thread wants the stand-by to leave
  Waiter* followers_ = nullptr;   // waiting threads that sleep, the first one first
  std::uint64_t hand_overs_ = 0;  // how often the lead was given up: how the stand-by sees activity
  bool roused_ = false;           // the stand-by ticks (else it sleeps until roused)
  bool stopping_ = false;
  std::condition_variable stand_by_wake_;
  std::vector<std::weak_ptr<Flusher>> flushers_;
  std::thread stand_by_;
};

}  // namespace gangway::detail
