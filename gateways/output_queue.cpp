#include "gateways/output_queue.hpp"

#include <boost/asio/post.hpp>

#include <exception>
#include <utility>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

// So many calls before other user code of the gateway has its turn.
constexpr int calls_at_a_time = 32;

void call(const OutputQueue::Function& function, const Output& output) noexcept {
  try {
    if (function) function(output);
  } catch (const std::exception& problem) {
    trace::log("the output callback threw: ", problem.what());
  } catch (...) {
    trace::log("the output callback threw");
  }
}

}  // namespace

void OutputQueue::set(Function function, std::shared_ptr<CallbackThread> thread) {
  const std::lock_guard lock(mutex_);
  function_ = std::make_shared<const Function>(std::move(function));
  thread_ = std::move(thread);
  run_later();
}

bool OutputQueue::offer(Output& output, OnRoom on_room) {
  const std::lock_guard lock(mutex_);
  if (abandoned_) return true;
  if (!room_.has(output.text.size(), std::move(on_room))) return false;
  add(std::move(output));
  return true;
}

void OutputQueue::push(Output output) {
  const std::lock_guard lock(mutex_);
  if (!room_.has_for_last_words(output.text.size()))
    trace::log("the output callback takes nothing: ", output.text.size(), " bytes of output dropped");
  else
    add(std::move(output));
}

void OutputQueue::abandon() noexcept {
  std::vector<OnRoom> dropped;  // destroyed without the mutex
  const std::lock_guard lock(mutex_);
  if (function_) return;
  abandoned_ = true;
  dropped = room_.forget_waiters();
}

void OutputQueue::add(Output output) {
  room_.take(output.text.size());
  waiting_.push_back(std::move(output));
  run_later();
}

void OutputQueue::run_later() {
  if (running_ || !function_ || waiting_.empty()) return;
  boost::asio::post(thread_->executor(), [self = shared_from_this()] { self->run(); });
  running_ = true;
}

void OutputQueue::run() {
  std::unique_lock lock(mutex_);
  for (int calls = 0; calls < calls_at_a_time && !waiting_.empty(); ++calls) {
    const Output output = std::move(waiting_.front());
    waiting_.pop_front();
    const auto function = function_;
    lock.unlock();
    call(*function, output);
    lock.lock();
    const auto told = room_.give_back(output.text.size());
    lock.unlock();
    for (const OnRoom& on_room : told) on_room();
    lock.lock();
  }
  running_ = false;
  run_later();
}

}  // namespace gangway::detail
