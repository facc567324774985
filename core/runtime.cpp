#include "core/runtime.hpp"

#include <exception>
#include <utility>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

// How often the stand-by looks while there is activity. Shorter costs CPU in every
// ping-pong (5 us per tick), longer delays what nobody waits for.
constexpr std::chrono::microseconds tick{1000};

// After so many ticks with the same leader the stand-by goes to sleep: a program that
// waits for an hour is not woken a thousand times a second.
constexpr int quiet_ticks = 20;

// Between two flushes of a flood: a megabyte is read by one handler.
constexpr int handlers_per_tick = 16;

// Whose handlers this thread is running.
thread_local const Runtime* led = nullptr;

}  // namespace

Deadline deadline_after(std::optional<std::chrono::nanoseconds> timeout) {
  if (!timeout) return {};
  const auto now = Clock::now();
  if (*timeout > Clock::time_point::max() - now) return {};
  return now + *timeout;
}

std::shared_ptr<Runtime> Runtime::create() {
  // The stand-by thread keeps the object alive, the handles keep the thread going: so the
  // last handle may be dropped on any thread, the stand-by included.
  std::shared_ptr<Runtime> runtime(new Runtime);
  Runtime* const plain = runtime.get();
  // Moved out: the deleter itself lives as long as the weak_ptr of shared().
  return {plain, [runtime = std::move(runtime)](Runtime*) mutable { std::exchange(runtime, nullptr)->stop(); }};
}

std::shared_ptr<Runtime> Runtime::shared() {
  static std::mutex mutex;
  static std::weak_ptr<Runtime> current;
  const std::lock_guard lock(mutex);
  auto runtime = current.lock();
  if (!runtime || runtime->fork_.in_child()) current = runtime = create();
  return runtime;
}

Runtime::Runtime() : work_(boost::asio::make_work_guard(io_)) {}

Runtime::~Runtime() {
  if (stand_by_.joinable()) stand_by_.detach();
}

// A forked child has none of the threads: there is nothing to stop.
void Runtime::stop() {
  if (fork_.in_child()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stand_by_wake_.notify_all();
    interrupt_leader();
  }
  if (stand_by_.joinable() && stand_by_.get_id() != std::this_thread::get_id()) stand_by_.join();
}

bool Runtime::in_handler() noexcept { return led != nullptr; }

void Waiter::notify() {
  const std::lock_guard lock(runtime_.mutex_);
  if (ready_.exchange(true, std::memory_order_acq_rel)) return;
  if (runtime_.leader_ == this) {
    if (led != &runtime_) runtime_.interrupt_leader();
  } else {
    wake_.notify_one();
  }
}

bool Runtime::wait(Waiter& waiter, Deadline deadline) noexcept {
  std::unique_lock lock(mutex_);
  while (!waiter.notified() && !(deadline && Clock::now() >= *deadline)) {
    if (leader_ == nullptr && !stand_by_leads_) {
      lead(waiter, deadline, lock);
    } else {
      follow(waiter, deadline, lock);
    }
  }
  if (leader_ == nullptr && !stand_by_leads_) hand_over();
  return waiter.notified();
}

void Runtime::follow(Waiter& waiter, Deadline deadline, std::unique_lock<std::mutex>& lock) {
  if (stand_by_leads_ && !lead_wanted_) {
    lead_wanted_ = true;
    interrupt_leader();
  }
  Waiter** end = &followers_;
  while (*end != nullptr) end = &(*end)->next_;
  *end = &waiter;
  if (deadline)
    waiter.wake_.wait_until(lock, *deadline);
  else
    waiter.wake_.wait(lock);
  Waiter** at = &followers_;
  while (*at != &waiter) at = &(*at)->next_;
  *at = std::exchange(waiter.next_, nullptr);
}

void Runtime::lead(Waiter& waiter, Deadline deadline, std::unique_lock<std::mutex>& lock) {
  leader_ = &waiter;
  lock.unlock();
  while (!waiter.notified() && !(deadline && Clock::now() >= *deadline)) {
    run_handlers([&] {
      if (deadline)
        io_.run_one_until(*deadline);
      else
        io_.run_one();
    });
  }
  lock.lock();
  leader_ = nullptr;
}

// A handler that throws is a mistake of ours, or memory ran out; whoever happens to lead
// can do nothing about either.
template <class Run>
void Runtime::run_handlers(Run run) noexcept {
  led = this;
  try {
    run();
  } catch (const std::exception& problem) {
    trace::log("a handler failed: ", problem.what());
  }
  led = nullptr;
  if (io_.stopped()) io_.restart();  // an interruption: whoever leads looks why
}

// The lead is free: to another thread that waits, else to the stand-by, in its time.
void Runtime::hand_over() {
  ++hand_overs_;
  for (Waiter* follower = followers_; follower != nullptr; follower = follower->next_) {
    if (follower->notified()) continue;
    follower->wake_.notify_one();
    return;
  }
  if (!roused_) rouse_stand_by();
}

// There is something new to look at. Stopping takes no memory, and lasts until the leader
// has seen it.
void Runtime::interrupt_leader() noexcept { io_.stop(); }

void Runtime::rouse_stand_by() {
  try {
    if (!stand_by_.joinable() && !stopping_) stand_by_ = std::thread([self = shared_from_this()] { self->stand_by(); });
  } catch (const std::exception& problem) {  // no thread to be had now; threads that wait still lead
    trace::log("no stand-by thread: ", problem.what());
    return;
  }
  roused_ = true;
  stand_by_wake_.notify_one();
}

void Runtime::keep_going() {
  const std::lock_guard lock(mutex_);
  if (!roused_) rouse_stand_by();
}

void Runtime::flush_soon(std::weak_ptr<Flusher> flusher) {
  const std::lock_guard lock(mutex_);
  flushers_.push_back(std::move(flusher));
  if (stand_by_leads_) interrupt_leader();
  if (!roused_) rouse_stand_by();
}

void Runtime::stand_by() {
  std::unique_lock lock(mutex_);
  std::uint64_t seen = hand_overs_;
  int quiet = 0;
  while (!stopping_) {
    if (!roused_) {
      stand_by_wake_.wait(lock, [this] { return roused_ || stopping_; });
      seen = hand_overs_;
      quiet = 0;
      continue;
    }
    stand_by_wake_.wait_for(lock, tick);
    if (stopping_) break;
    if (!flushers_.empty()) {
      lock.unlock();
      run_flushers();
      lock.lock();
      quiet = 0;
    }
    const bool changed = std::exchange(seen, hand_overs_) != hand_overs_;
    if (changed || followers_ != nullptr) {
      quiet = 0;
    } else if (leader_ == nullptr) {
      lead_as_stand_by(lock);
      seen = hand_overs_;
    } else if (++quiet >= quiet_ticks) {
      roused_ = false;
    }
  }
}

void Runtime::lead_as_stand_by(std::unique_lock<std::mutex>& lock) {
  stand_by_leads_ = true;
  do {
    const bool flush_due = !flushers_.empty();
    lock.unlock();
    run_handlers([&] {
      if (!flush_due)
        io_.run_one();
      else  // a flood: what comes in has its turn, too
        for (int i = 0; i < handlers_per_tick && io_.poll_one() > 0; ++i) {
        }
    });
    lock.lock();
  } while (!stopping_ && !lead_wanted_ && flushers_.empty());
  stand_by_leads_ = false;
  lead_wanted_ = false;
  for (Waiter* follower = followers_; follower != nullptr; follower = follower->next_) follower->wake_.notify_one();
}

void Runtime::run_flushers() {
  std::vector<std::weak_ptr<Flusher>> due;
  {
    const std::lock_guard lock(mutex_);
    due.swap(flushers_);
  }
  for (const auto& weak : due)
    if (const auto flusher = weak.lock()) flusher->flush();
}

}  // namespace gangway::detail
