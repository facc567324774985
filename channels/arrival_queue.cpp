#include "channels/arrival_queue.hpp"

#include <algorithm>
#include <list>

#include <gangway/error.hpp>

#include "channels/channel_handle.hpp"
#include "channels/decode.hpp"
#include "core/fork_guard.hpp"

namespace gangway::detail {

struct ArrivalQueue::Arrivals {
  Arrivals(std::shared_ptr<Runtime> of_runtime, std::size_t members, bool ends_are_told)
      : runtime(std::move(of_runtime)), live(members), tells_ends(ends_are_told) {}

  [[nodiscard]] std::unique_lock<std::mutex> lock() {
    if (fork.in_child()) throw_error(errc::terminated, "a queue of the parent process: not usable after fork");
    return std::unique_lock(mutex);
  }

  const std::shared_ptr<Runtime> runtime;
  const ForkGuard fork;
  std::mutex mutex;  // guards what follows
  std::list<Arrival> queue;
  std::size_t live;
  const bool tells_ends;
  std::vector<Waiter*> waiters;
};

class ArrivalQueue::Member final : public ArrivalSink {
 public:
  Member(std::shared_ptr<Arrivals> arrivals, std::size_t at)
      : arrivals_(std::move(arrivals)), at_(at), end_{{at, true}} {}

  void on_arrival(const std::shared_ptr<ChannelState>&, bool is_end) override {
    const std::lock_guard lock(arrivals_->mutex);
    if (!is_end) arrivals_->queue.push_back({at_, false});
    if (is_end) --arrivals_->live;
    if (is_end && arrivals_->tells_ends) arrivals_->queue.splice(arrivals_->queue.end(), end_);
    // The last end is for all who wait: there is nothing to wait for.
    auto& waiters = arrivals_->waiters;
    const std::size_t woken = arrivals_->live == 0 ? waiters.size() : std::min<std::size_t>(1, waiters.size());
    const auto end = waiters.begin() + static_cast<std::ptrdiff_t>(woken);
    std::for_each(waiters.begin(), end, [](Waiter* waiter) { waiter->notify(); });
    waiters.erase(waiters.begin(), end);
  }

 private:
  const std::shared_ptr<Arrivals> arrivals_;
  const std::size_t at_;
  std::list<Arrival> end_;  // made beforehand: to be told when memory has run out
};

ArrivalQueue::ArrivalQueue(std::vector<Channel> channels, std::optional<Value> endmarker)
    : channels_(std::move(channels)),
      endmarker_(std::move(endmarker)),
      arrivals_(std::make_shared<Arrivals>(channels_.empty() ? nullptr : channels_[0].handle().connection->runtime(),
                                           channels_.size(), endmarker_.has_value())) {
  std::size_t at = 0;
  try {
    for (; at < channels_.size(); ++at) {
      const ChannelHandle& channel = channels_[at].handle();
      channel.connection->set_sink(channel.state, std::make_shared<Member>(arrivals_, at));
    }
  } catch (...) {  // all or none
    while (at-- > 0) channels_[at].handle().connection->remove_sink(channels_[at].handle().state);
    throw;
  }
}

ArrivalQueue::Arrival ArrivalQueue::next(Deadline deadline) {
  Arrivals& arrivals = *arrivals_;
  auto lock = arrivals.lock();
  for (bool in_time = true; arrivals.queue.empty();) {
    if (arrivals.live == 0) throw_error(errc::end_of_channel, "all channels of the queue have ended");
    if (!in_time) throw_error(errc::timed_out, "nothing arrived in time");
    if (Runtime::in_handler()) throw_error(errc::would_deadlock, "a blocking call on the thread that does the I/O");
    Waiter waiter(*arrivals.runtime);
    arrivals.waiters.push_back(&waiter);
    lock.unlock();
    in_time = arrivals.runtime->wait(waiter, deadline);
    lock.lock();
    std::erase(arrivals.waiters, &waiter);
  }
  const Arrival first = arrivals.queue.front();
  arrivals.queue.pop_front();
  return first;
}

std::pair<Channel, Value> ArrivalQueue::get(Deadline deadline) {
  for (;;) {
    const Arrival arrival = next(deadline);
    const Channel& channel = channels_[arrival.member];
    if (arrival.is_end) return {channel, *endmarker_};
    const ChannelHandle& handle = channel.handle();
    if (auto item = handle.connection->take(*handle.state))
      return {channel, decode(*handle.connection, std::move(*item))};
  }
}

std::size_t ArrivalQueue::size() const {
  const auto lock = arrivals_->lock();
  return arrivals_->queue.size();
}

}  // namespace gangway::detail
