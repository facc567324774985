// What waits for the callback of Gateway::set_output, and calls it, on the gateway's
// callback thread.
//
// Thread rule: any thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "core/callback_thread.hpp"
#include "gateways/output_room.hpp"
#include "gateways/output_sink.hpp"

namespace gangway::detail {

class OutputQueue final : public OutputSink, public std::enable_shared_from_this<OutputQueue> {
 public:
  using Function = std::function<void(const Output&)>;

  /// What came before is delivered to it first. Empty: what comes is dropped.
  void set(Function function, std::shared_ptr<CallbackThread> thread);

  [[nodiscard]] bool offer(Output& output, OnRoom on_room) override;
  void push(Output output) override;
  /// Nobody can call set() any more: without a function, what waits is dropped, and with it
  /// the readers that wait for room, who hold this.
  void abandon() noexcept;

 private:
  void add(Output output);
  void run_later();
  void run();

  std::mutex mutex_;  // guards what follows; not held while the function runs
  bool abandoned_ = false;
  std::shared_ptr<const Function> function_;
  std::shared_ptr<CallbackThread> thread_;  // once there is a function
  std::deque<Output> waiting_;
  OutputRoom room_;  // for the text in waiting_
  bool running_ = false;
};

}  // namespace gangway::detail
