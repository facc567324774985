// A thread on which user code runs: completions and callbacks of one gateway, in order.
// Started when it is first needed; a handler that blocks delays nothing but the next one.
//
// Thread rule: any thread. The last handle may be dropped on the thread itself.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <memory>

namespace gangway::detail {

class CallbackThread {
 public:
  using Executor = boost::asio::io_context::executor_type;

  [[nodiscard]] static std::shared_ptr<CallbackThread> start();
  [[nodiscard]] Executor executor() noexcept { return io_.get_executor(); }

 private:
  CallbackThread() : work_(boost::asio::make_work_guard(io_)) {}

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<Executor> work_;
};

}  // namespace gangway::detail
