// What the agent says of itself: STATUS and STACKS, answered on the leading thread.
#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <unistd.h>

#include "core/item_codec.hpp"
#include "python/native/agent.hpp"

namespace gangway::python {

namespace {

using boost::system::error_code;
using detail::Clock;

// Running Python code gives up the GIL after 5 ms (sys.setswitchinterval).
struct Patience {
  std::chrono::milliseconds silent;  // that one thread keeps the GIL, sleeping
  std::chrono::milliseconds busy;    // or using the processor
};
// A status is due within 20 ms. It is not quite sure.
constexpr Patience status_patience{std::chrono::milliseconds(10), std::chrono::milliseconds(8)};
// Stacks that change while they are read may crash us: that has to be sure. Where the holder
// of the GIL is not known, many busy threads may take their turns before us.
constexpr Patience stacks_patience{std::chrono::milliseconds(gil_holder_is_known ? 50 : 500),
                                   std::chrono::milliseconds(100)};

// How often we look who holds it: twice within the turn of a thread that runs Python code.
constexpr std::chrono::milliseconds watch_tick{2};

constexpr std::size_t most_told = 100;          // tasks, and channels
constexpr std::size_t longest_stacks = 65'000;  // bytes, wire.md
constexpr std::size_t longest_source = 200;     // bytes

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string read_line(const std::string& path) {
  std::array<char, 512> line{};
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return {};
  const bool read = std::fgets(line.data(), line.size(), file) != nullptr;
  std::fclose(file);
  return read ? line.data() : "";
}

std::optional<std::int64_t> resident_memory() {
  long long all = 0, resident = 0;
  const int read = std::sscanf(read_line("/proc/self/statm").c_str(), "%lld %lld", &all, &resident);
  if (read != 2) return {};
  return resident * ::sysconf(_SC_PAGESIZE);
}

// Of a thread of this process; 0 when the system does not say.
Clock::duration processor_time(int thread) {
  const std::string line = read_line("/proc/self/task/" + std::to_string(thread) + "/schedstat");
  return std::chrono::nanoseconds(std::strtoll(line.c_str(), nullptr, 10));
}

bool sleeps(int thread) {
  const std::string line = read_line("/proc/self/task/" + std::to_string(thread) + "/stat");
  const std::size_t at = line.rfind(") ");  // behind the name
  return at != line.npos && at + 2 < line.size() && line[at + 2] != 'R';
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

// --- the GIL

// Asks for the GIL and watches who has it, until it was had, the patience with one holder is
// over, or the time is. On the leading thread.
class Agent::Inquiry : public std::enable_shared_from_this<Inquiry> {
 public:
  using WithGil = std::function<std::string()>;
  /// `text`: of `with_gil`; none: it was not called. `silence`: for how long nobody else got the GIL.
  using Answer = std::function<void(std::optional<std::string> text, Clock::duration silence)>;

  Inquiry(std::shared_ptr<Agent> agent, WithGil with_gil, Answer answer)
      : agent_(std::move(agent)),
        timer_(agent_->runtime_->io()),
        with_gil_(std::move(with_gil)),
        answer_(std::move(answer)) {}

  void start(const Patience& patience, detail::Deadline deadline) {
    patience_ = patience;
    deadline_ = deadline;
    agent_->gil_->ask([self = shared_from_this()] {
      if (self->answered_) return;
      boost::asio::post(self->agent_->runtime_->io(),
                        [self, text = self->with_gil_()] { self->answer(text, Clock::duration::zero()); });
    });
    look();
  }

 private:
  void look() {
    if (answered_) return;
    const Clock::duration silence = agent_->gil_silence(patience_.busy);
    if (silence >= patience_.silent) return answer({}, silence);
    if (deadline_ && Clock::now() >= *deadline_) return answer({}, Clock::duration::zero());
    timer_.expires_after(watch_tick);
    timer_.async_wait([self = shared_from_this()](error_code) { self->look(); });
  }

  void answer(std::optional<std::string> text, Clock::duration silence) {
    if (answered_.exchange(true)) return;
    timer_.cancel();
    answer_(std::move(text), silence);
  }

  const std::shared_ptr<Agent> agent_;
  boost::asio::steady_timer timer_;
  const WithGil with_gil_;
  const Answer answer_;
  Patience patience_{};
  detail::Deadline deadline_;
  std::atomic<bool> answered_{false};  // set on the leading thread
};

// For how long the same thread has kept the GIL that we asked for. Not if it is merely not
// given the processor: it has to sleep, or to have been busy for long enough, to be in a call
// that does not give up the GIL.
Clock::duration Agent::gil_silence(Clock::duration busy) {
  const auto now = Clock::now();
  const int holder = gil_holder();
  if (std::exchange(gil_holder_, holder) != holder) {
    gil_held_since_ = now;
    gil_holder_used_ = processor_time(holder);
  }
  const auto asking = gil_->asking_since();
  if (!asking) return {};
  if (gil_holder_is_known && gil_->interpreter_is_up() &&
      (holder == 0 || (!sleeps(holder) && processor_time(holder) - gil_holder_used_ < busy)))
    return {};
  return now - std::max(*asking, gil_held_since_);
}

// --- STATUS

std::optional<Value> Agent::on_status(std::uint64_t number, std::size_t) {
  boost::asio::post(runtime_->io(), [self = shared_from_this(), number] {
    std::make_shared<Inquiry>(
        self, [] { return std::string(); },
        [self, number](const std::optional<std::string>&, Clock::duration silence) {
          self->reply_status(number, silence);
        })
        ->start(status_patience, Clock::now() + status_patience.silent + watch_tick);
  });
  return {};
}

void Agent::reply_status(std::uint64_t number, Clock::duration silence) {
  Dict status{{"numchannels", connection_->live_channels()}, {"execmodel", hello_.execmodel}};
  for (const char* const key : {"pid", "agent", "version", "python"}) status[key] = *answer_.as_dict().find(key);
  status["uptime"] = seconds(Clock::now() - started_);
  if (const auto memory = resident_memory()) status["memory"] = *memory;
  status["queued"] = connection_->queued(most_told);
  status["unresponsive"] = seconds(silence);
  tell_tasks(status);
  connection_->reply_status(number, Value(std::move(status)));
}

void Agent::tell_tasks(Dict& status) {
  const auto now = Clock::now();
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
}

// --- STACKS

ThreadRoles Agent::roles() {
  ThreadRoles roles{{main_thread_, "main thread"}};
  const std::lock_guard lock(mutex_);
  if (callback_thread_) roles[*callback_thread_] = "callbacks";
  for (const auto& [channel, task] : tasks_) {
    if (!task.executing) continue;
    std::string& role = roles[task.thread];
    role += (role.empty() ? "task of channel " : ", task of channel ") + std::to_string(channel);
  }
  return roles;
}

void Agent::reply_stacks(std::uint64_t number, std::string text) {
  constexpr std::string_view rest = "\n  [...]\n";
  if (text.size() > longest_stacks) {
    std::size_t end = longest_stacks - rest.size();
    while ((text[end] & 0xc0) == 0x80) --end;  // no half character
    text.replace(end, text.npos, rest);
  }
  connection_->reply_stacks(number, text);
}

void Agent::on_stacks(std::uint64_t number) {
  boost::asio::post(runtime_->io(), [self = shared_from_this(), number] {
    std::make_shared<Inquiry>(
        self, [self] { return stacks_with_gil(self->roles()); },
        [self, number](const std::optional<std::string>& text, Clock::duration silence) {
          if (text) return self->reply_stacks(number, *text);
          self->reply_stacks(number, self->gil_->interpreter_is_up() ? stacks_without_gil(self->roles(), silence)
                                                                     : "The interpreter has not started.\n");
        })
        ->start(stacks_patience, {});
  });
}

}  // namespace gangway::python
