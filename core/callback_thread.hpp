// A thread on which user code runs: completions and callbacks of one gateway, in order.
// Started when it is first needed; a handler that blocks delays nothing but the next one.
// One that throws is reported to the trace, and the thread goes on.
//
// Thread rule: any thread. The last handle may be dropped on the thread itself.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <memory>
#include <mutex>

namespace gangway::detail {

class CallbackThread {
 public:
  using Executor = boost::asio::io_context::executor_type;

  /// Something to be run once, which takes no memory to be queued: what has to be told when
  /// memory has run out. It may be queued again from run() on, not before.
  class Job {
   public:
    virtual void run(std::shared_ptr<Job> self) = 0;

   protected:
    ~Job() = default;

   private:
    friend class CallbackThread;
    std::shared_ptr<Job> next_;
  };

  /// Throws std::system_error when there is no thread to be had.
  [[nodiscard]] static std::shared_ptr<CallbackThread> start();
  [[nodiscard]] Executor executor() noexcept { return io_.get_executor(); }
  void post(std::shared_ptr<Job> job) noexcept;
  [[nodiscard]] bool is_this_thread() const noexcept;

 private:
  CallbackThread() : work_(boost::asio::make_work_guard(io_)) {}
  void loop();
  void release();
  std::shared_ptr<Job> take_jobs(bool& released);

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<Executor> work_;

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<Job> first_;
  Job* last_ = nullptr;
  bool released_ = false;  // nobody has a handle
};

}  // namespace gangway::detail
