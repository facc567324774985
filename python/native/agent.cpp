#include "python/native/agent.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <utility>

#include <unistd.h>

#include "core/trace.hpp"
#include "gateways/fd_stream.hpp"
#include "python/native/wakeup_fd.hpp"

namespace gangway::python {

namespace {

using boost::system::error_code;

// How long the end waits for a controller that does not read what tasks have sent, and
// how often it looks.
constexpr std::chrono::seconds end_grace{5};
constexpr std::chrono::milliseconds end_tick{2};

// After an interrupt of the main thread.
constexpr int nudges = 5;
constexpr std::chrono::milliseconds nudge_interval{20};

std::array<int, 2> wire{-1, -1};  // for the children of user code
int wakeup_fd = -1;

// A child that user code forks must not hold the wire open, nor wake us by its signals.
// Async-signal-safe.
void after_fork_in_child() {
  for (const int fd : wire) ::close(fd);
  if (PySignal_SetWakeupFd == nullptr) return;
  const int current = PySignal_SetWakeupFd(-1);
  if (current != wakeup_fd) PySignal_SetWakeupFd(current);
}

}  // namespace

// --- waits

Agent::Wait::Wait(Agent& agent) : waiter(*agent.runtime_), agent_(agent), thread_(PyThread_get_thread_ident()) {
  const std::lock_guard lock(agent_.mutex_);
  agent_.waits_.push_back(this);
}

Agent::Wait::~Wait() {
  const std::lock_guard lock(agent_.mutex_);
  std::erase(agent_.waits_, this);
  // What it waited for came at the same time: the interrupt is for what the thread does next.
  if (interrupted_) agent_.interrupt_thread(thread_);
}

bool Agent::Wait::take_interrupt() {
  const std::lock_guard lock(agent_.mutex_);
  return std::exchange(interrupted_, false);
}

Agent::Wait* Agent::wait_of(ThreadId thread) {
  // A signal handler may wait inside another wait: the last one is the innermost.
  const auto found = std::find_if(waits_.rbegin(), waits_.rend(), [&](Wait* wait) { return wait->thread_ == thread; });
  return found == waits_.rend() ? nullptr : *found;
}

// --- start

std::shared_ptr<Agent> Agent::create(const Hello& hello, detail::FileDescriptor read_end,
                                     detail::FileDescriptor write_end) {
  auto runtime = detail::Runtime::create();
  wire = {read_end.get(), write_end.get()};
  auto stream = std::make_unique<detail::FdStream>(runtime->io(), std::move(read_end), std::move(write_end));
  auto connection = std::make_shared<Connection>(runtime, std::move(stream), hello.settings);
  connection->set_peer_max_item(hello.peer_max_item);
  connection->set_peer_arrays(hello.peer_arrays);
  return std::shared_ptr<Agent>(new Agent(hello, std::move(runtime), std::move(connection)));
}

Agent::Agent(const Hello& hello, std::shared_ptr<detail::Runtime> runtime, std::shared_ptr<Connection> connection)
    : hello_(hello),
      runtime_(std::move(runtime)),
      connection_(std::move(connection)),
      main_thread_(::pthread_self()),
      pid_(::getpid()),
      signal_pipe_(detail::make_pipe()),
      signals_(runtime_->io()),
      end_timer_(runtime_->io()),
      nudge_timer_(runtime_->io()) {
  (void)detail::set_nonblocking(signal_pipe_.read.get());
  (void)detail::set_nonblocking(signal_pipe_.write.get());
  wakeup_fd = signal_pipe_.write.get();
  signals_.assign(signal_pipe_.read.release());
  ::pthread_atfork(nullptr, nullptr, after_fork_in_child);
}

void Agent::start(const Value& answer, Bytes received) {
  answer_ = answer;
  started_ = detail::Clock::now();
  watch_signals();
  connection_->start(weak_from_this(), {}, Bytes(detail::marker_for(hello_.nonce)), answer, std::move(received));
}

// --- jobs

void Agent::on_exec(const ChannelPtr& channel, Bytes request) {
  channel->claimed = true;
  const std::lock_guard lock(mutex_);
  jobs_.push_back({channel, std::move(request)});
  if (idle_ != nullptr)
    idle_->waiter.notify();
  else if (main_busy_)
    dispatcher_.notify_one();
}

void Agent::set_idle(Wait* wait) {
  const std::lock_guard lock(mutex_);
  idle_ = wait;
  main_busy_ = wait == nullptr;
  if (main_busy_ && !jobs_.empty()) dispatcher_.notify_one();
}

void Agent::wake_idle() {
  const std::lock_guard lock(mutex_);
  if (idle_ != nullptr) idle_->waiter.notify();
}

std::optional<Agent::Job> Agent::take_job(Taker taker) {
  std::optional<Job> job;
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty() || (taker == Taker::dispatcher && !main_busy_)) return job;
    job = std::move(jobs_.front());
    jobs_.pop_front();
    tasks_[job->channel->id].arrived = job->arrived;  // from here on it is a task
  }
  auto handle = connection_->handle_of(job->channel);
  const std::lock_guard lock(mutex_);
  tasks_[job->channel->id].handle = std::move(handle);
  return job;
}

Agent::Event Agent::next_event() {
  std::unique_lock lock(mutex_);
  dispatcher_.wait(lock, [this] { return !thread_interrupts_.empty() || (!jobs_.empty() && main_busy_) || lost_; });
  if (!thread_interrupts_.empty()) return Event::interrupts;
  return jobs_.empty() || !main_busy_ ? Event::ended : Event::job;
}

std::vector<ThreadId> Agent::take_thread_interrupts() {
  const std::lock_guard lock(mutex_);
  // Some have begun to wait meanwhile, where an exception that is left for them would not be seen.
  std::erase_if(thread_interrupts_, [this](ThreadId thread) { return interrupt_waiting(thread); });
  return std::exchange(thread_interrupts_, {});
}

// --- tasks

void Agent::set_source(std::uint32_t channel, std::string source) {
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(channel);
  if (found != tasks_.end()) found->second.source = std::move(source);
}

bool Agent::set_executing(std::uint32_t channel, bool on) {
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(channel);
  if (found == tasks_.end()) return false;
  Task& task = found->second;
  task.executing = on;
  task.thread = PyThread_get_thread_ident();
  task.tid = ::gettid();
  return on && task.interrupted;
}

bool Agent::is_executing(std::uint32_t channel) {
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(channel);
  return found != tasks_.end() && found->second.executing;
}

Agent::Finished Agent::finish_task(std::uint32_t channel) {
  std::shared_ptr<detail::ChannelHandle> handle;  // released without the mutex
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(channel);
  if (found == tasks_.end()) return {};
  // From here on it is on its way to the next job: the peer, who will see CLOSE, may count on it.
  if (found->second.executing && is_main_thread()) main_busy_ = false;
  const Finished finished{true, found->second.interrupted && found->second.executing};
  if (finished.interrupted) std::erase(thread_interrupts_, found->second.thread);
  handle = std::move(found->second.handle);
  tasks_.erase(found);
  return finished;
}

void Agent::is_callback_thread() {
  const std::lock_guard lock(mutex_);
  callback_thread_ = PyThread_get_thread_ident();
}

void Agent::on_interrupt(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  const auto job = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& other) { return other.channel->id == id; });
  if (job != jobs_.end()) {
    const ChannelPtr channel = std::move(job->channel);
    jobs_.erase(job);
    boost::asio::post(runtime_->io(),
                      [self = shared_from_this(), channel] { self->connection_->close(channel, interrupt_text); });
    return;
  }
  const auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  task.interrupted = true;
  if (!task.executing) return;  // it learns it when it begins
  interrupt_thread(task.thread);
}

// With the mutex.
void Agent::interrupt_thread(ThreadId thread) {
  if (thread == main_thread_) {
    ::pthread_kill(main_thread_, SIGINT);  // ends a sleep, too; the user's handler, if there is one, decides
    boost::asio::post(runtime_->io(), [self = shared_from_this()] { self->nudge_main(nudges); });
  } else if (!interrupt_waiting(thread)) {
    thread_interrupts_.push_back(thread);
    dispatcher_.notify_one();
  }
}

// A signal that comes just before a system call does not end it, and Python looks for signals
// behind it only. So a few more follow, which do nothing but end one.
void Agent::nudge_main(int times) {
  if (times == 0) return;
  nudge_timer_.expires_after(nudge_interval);
  nudge_timer_.async_wait([self = shared_from_this(), times](error_code error) {
    if (error) return;
    ::pthread_kill(self->main_thread_, SIGRTMAX);
    self->nudge_main(times - 1);
  });
}

// With the mutex. False: the thread does not wait.
bool Agent::interrupt_waiting(ThreadId thread) {
  Wait* const wait = wait_of(thread);
  if (wait == nullptr) return false;
  wait->interrupted_ = true;
  wait->waiter.notify();
  return true;
}

// --- signals

void Agent::watch_signals() {
  signals_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](error_code error) {
    if (error) return;
    {
      const std::lock_guard lock(self->mutex_);
      std::array<char, 64> bytes;
      for (ssize_t size; (size = ::read(self->signals_.native_handle(), bytes.data(), bytes.size())) > 0;)
        self->signals_seen_.append(bytes.data(), static_cast<std::size_t>(size));
      for (Wait* const wait : self->waits_) wait->waiter.notify();  // those of other threads go on
    }
    self->watch_signals();
  });
}

std::string Agent::take_signals() {
  const std::lock_guard lock(mutex_);
  std::array<char, 64> bytes;
  for (ssize_t size; (size = ::read(signals_.native_handle(), bytes.data(), bytes.size())) > 0;)
    signals_seen_.append(bytes.data(), static_cast<std::size_t>(size));
  return std::exchange(signals_seen_, {});
}

// --- the end

void Agent::on_terminate() {
  // Not here: the connection's mutex is held.
  boost::asio::post(runtime_->io(), [self = shared_from_this()] {
    trace::line("terminated by the controller");
    self->end_deadline_ = detail::Clock::now() + end_grace;
    self->end_when_written();
  });
}

// What tasks have sent before the end still goes out.
void Agent::end_when_written() {
  if (connection_->drained() || detail::Clock::now() >= *end_deadline_) {
    finish({errc::terminated, "terminated by the controller", {}});
    return;
  }
  end_timer_.expires_after(end_tick);
  end_timer_.async_wait([self = shared_from_this()](error_code) { self->end_when_written(); });
}

void Agent::on_stream_end(detail::ConnectionEnd end) {
  // The words of the portable agent.
  if (end.code == errc::protocol_error) {
    std::fprintf(stderr, "gangway agent: %s\n", end.text.c_str());
    end.text = "connection lost: " + end.text;
  } else {
    end.text = "connection lost: end of the stream";
  }
  finish(std::move(end));
}

void Agent::finish(detail::ConnectionEnd end) {
  std::string text = end.text;
  connection_->finish(std::move(end));
  const std::lock_guard lock(mutex_);
  if (!lost_) lost_ = std::move(text);
  for (Wait* const wait : waits_) wait->waiter.notify();
  dispatcher_.notify_all();
}

std::optional<std::string> Agent::lost() {
  const std::lock_guard lock(mutex_);
  return lost_;
}

}  // namespace gangway::python
