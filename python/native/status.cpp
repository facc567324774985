// What the agent says of itself: STATUS and STACKS, answered on the leading thread.
#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <utility>

#include <unistd.h>

#include "core/item_codec.hpp"
#include "python/native/agent.hpp"

namespace gangway::python {

namespace {

using boost::system::error_code;
using detail::Clock;

// Running Python code gives up the GIL after 5 ms (sys.setswitchinterval); an answer is due
// within 20 ms.
constexpr std::chrono::milliseconds gil_patience{10};

// How long one thread has to keep the GIL before its stack is read without it, and how often
// we look: twice within the turn of a thread that runs Python code. Where the holder is not
// known, the second one, for many busy threads may take their turns before us.
constexpr std::chrono::milliseconds stuck_after{50};
constexpr std::chrono::milliseconds stuck_after_unknown{500};
constexpr std::chrono::milliseconds stuck_tick{2};

constexpr std::size_t most_told = 100;       // tasks, and channels
constexpr std::size_t longest_source = 200;  // bytes

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

std::optional<std::int64_t> resident_memory() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return {};
  long long all = 0, resident = 0;
  const int read = std::fscanf(file, "%lld %lld", &all, &resident);
  std::fclose(file);
  if (read != 2) return {};
  return resident * ::sysconf(_SC_PAGESIZE);
}

// Of a request that nobody has looked at; its channels need not be known.
std::string source_of(const Bytes& request) {
  class AnyChannel final : public detail::ChannelTable {
    std::uint32_t id_of(const ChannelRef& channel) override { return channel.id; }
    ChannelRef channel(std::uint32_t id) override { return {id, nullptr}; }
  } channels;
  try {
    const Value value = detail::decode_pickle(request.span(), &channels);
    const Dict& dict = value.as_dict();
    const auto text = [&](const char* key) {
      const Value* const found = dict.find(key);
      return found == nullptr || found->get_if<std::string>() == nullptr ? std::string() : found->as_str();
    };
    return task_name(text("file"), text("function"));
  } catch (const std::exception&) {  // its task will say what is wrong with it
    return task_name("", "");
  }
}

}  // namespace

std::string task_name(std::string file, const std::string& function) {
  if (file.empty()) file = "<remote exec>";
  if (!function.empty()) file += " in " + function;
  if (file.size() > longest_source) {
    std::size_t at = file.size() - longest_source;
    while (at < file.size() && (file[at] & 0xc0) == 0x80) ++at;  // no half character in front
    file.erase(0, at);
  }
  return file;
}

// --- STATUS

std::optional<Value> Agent::on_status(std::uint64_t number, std::size_t) {
  boost::asio::post(runtime_->io(), [self = shared_from_this(), number] { self->begin_status(number); });
  return {};
}

// Asks for the GIL, and waits for it, but not long.
void Agent::begin_status(std::uint64_t number) {
  const auto since = gil_->asking_since();
  if (since && Clock::now() - *since >= gil_patience) {
    reply_status(number);
    return;
  }
  const auto timer = std::make_shared<boost::asio::steady_timer>(runtime_->io(), gil_patience);
  timer->async_wait([self = shared_from_this(), number, timer](error_code) { self->reply_status(number); });
  gil_->ask(
      [self = shared_from_this(), timer] { boost::asio::post(self->runtime_->io(), [timer] { timer->cancel(); }); });
}

void Agent::reply_status(std::uint64_t number) {
  const auto now = Clock::now();
  const auto since = gil_->asking_since();
  Dict status{{"numchannels", connection_->live_channels()}, {"execmodel", hello_.execmodel}};
  for (const char* const key : {"pid", "agent", "version", "python"}) status[key] = *answer_.as_dict().find(key);
  status["uptime"] = seconds(now - started_);
  if (const auto memory = resident_memory()) status["memory"] = *memory;
  status["queued"] = connection_->queued(most_told);
  status["unresponsive"] = since && now - *since >= gil_patience ? seconds(now - *since) : 0.0;

  const std::lock_guard lock(mutex_);
  status["numexecuting"] = tasks_.size() + jobs_.size();
  std::vector<std::pair<std::uint32_t, const Task*>> running;
  for (const auto& [channel, task] : tasks_) running.emplace_back(channel, &task);
  std::sort(running.begin(), running.end(),
            [](const auto& a, const auto& b) { return a.second->arrived < b.second->arrived; });
  List tasks;
  const auto add = [&](std::uint32_t channel, std::string source, Clock::time_point arrived, int thread) {
    if (tasks.size() == most_told) return;
    tasks.push_back(
        Dict{{"channel", channel}, {"source", std::move(source)}, {"age", seconds(now - arrived)}, {"thread", thread}});
  };
  for (const auto& [channel, task] : running) add(channel, task->source, task->arrived, task->tid);
  for (const Job& job : jobs_) add(job.channel->id, source_of(job.request), job.arrived, 0);
  status["tasks"] = std::move(tasks);
  connection_->reply_status(number, Value(std::move(status)));
}

// --- STACKS

ThreadRoles Agent::roles() {
  ThreadRoles roles{{main_thread_, "main thread"}};
  const std::lock_guard lock(mutex_);
  for (const auto& [channel, task] : tasks_) {
    if (!task.executing) continue;
    std::string& role = roles[task.thread];
    role += (role.empty() ? "task of channel " : ", task of channel ") + std::to_string(channel);
  }
  return roles;
}

// Whichever comes first: the GIL, or the certainty that somebody keeps it.
class Agent::StacksRequest : public std::enable_shared_from_this<StacksRequest> {
 public:
  StacksRequest(std::shared_ptr<Agent> agent, std::uint64_t number)
      : agent_(std::move(agent)), number_(number), timer_(agent_->runtime_->io()) {}

  void start() {
    holder_ = gil_holder();
    holder_since_ = Clock::now();
    agent_->gil_->ask([self = shared_from_this()] {
      if (self->answered_) return;
      std::string text = stacks_with_gil(self->agent_->roles());
      boost::asio::post(self->agent_->runtime_->io(), [self, text = std::move(text)] { self->answer(text); });
    });
    look();
  }

 private:
  void look() {
    if (answered_) return;
    const auto now = Clock::now();
    const void* const holder = gil_holder();
    if (std::exchange(holder_, holder) != holder) holder_since_ = now;
    const auto since = agent_->gil_->asking_since();
    const bool known = gil_holder_is_known && holder != nullptr;
    if (since && now - holder_since_ >= (known ? stuck_after : stuck_after_unknown)) {
      answer(agent_->gil_->interpreter_is_up() ? stacks_without_gil(agent_->roles(), now - *since)
                                               : "The interpreter has not started yet.\n");
      return;
    }
    timer_.expires_after(stuck_tick);
    timer_.async_wait([self = shared_from_this()](error_code) { self->look(); });
  }

  void answer(std::string_view text) {
    if (answered_.exchange(true)) return;
    timer_.cancel();
    agent_->connection_->reply_stacks(number_, text);
  }

  const std::shared_ptr<Agent> agent_;
  const std::uint64_t number_;
  boost::asio::steady_timer timer_;
  const void* holder_ = nullptr;
  Clock::time_point holder_since_;
  std::atomic<bool> answered_{false};  // set on the leading thread
};

void Agent::on_stacks(std::uint64_t number) {
  boost::asio::post(runtime_->io(),
                    [self = shared_from_this(), number] { std::make_shared<StacksRequest>(self, number)->start(); });
}

}  // namespace gangway::python
