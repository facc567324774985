#include "gateways/warm_start.hpp"

#include <array>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "core/trace.hpp"

namespace gangway::detail {

namespace {

using std::chrono::milliseconds;

// A server that nobody asked for so long gives its memory back.
constexpr std::chrono::seconds idle_time{30};

// So long many agents together wait for a server. It takes as long to start as any one of
// them, some 13 ms; a machine that is so busy that this passes does not start them faster either.
constexpr milliseconds crowd_patience{100};

// So long GANGWAY_WARM=1 waits: for tests, and for those who measure.
constexpr milliseconds forced_patience{10'000};

std::size_t processors() {
  static const std::size_t count = std::max(1U, std::thread::hardware_concurrency());
  return count;
}

// A script in the agent's place may do anything before the agent, and has to do it each time.
bool is_binary(const std::string& path) {
  std::array<char, 4> magic{};
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file && ::read(file.get(), magic.data(), magic.size()) == 4 &&
         std::string_view(magic.data(), magic.size()) ==
             "\x7f"
             "ELF";
}

}  // namespace

WarmStart::WarmStart(std::shared_ptr<Runtime> runtime)
    : runtime_(std::move(runtime)), ended_(runtime_->io()), idle_(runtime_->io()) {}

WarmStart::Mode WarmStart::mode() noexcept {
  const char* const value = std::getenv("GANGWAY_WARM");
  const std::string_view text = value == nullptr ? "" : value;
  return text == "0" ? Mode::never : text == "1" ? Mode::always : Mode::when_it_pays;
}

// In a forked child the mutex may be held by a thread that is not there.
void WarmStart::announce(std::size_t count) {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  announced_ = count;
}

void WarmStart::end_server() noexcept {
  if (fork_.in_child()) return;
  const std::lock_guard lock(mutex_);
  forget_server();
}

ChildProcess WarmStart::start(const SpawnRequest& request) {
  const Mode mode = WarmStart::mode();
  if (mode == Mode::never || fork_.in_child()) return ChildProcess::start(request);
  std::unique_lock lock(mutex_);
  const std::size_t more = announced_ > 0 ? --announced_ : 0;
  const auto state = LaunchState::now(request);
  if (!state) return ChildProcess::start(request);

  const bool again = last_state_ == state;
  last_state_ = state;
  const bool fitting = server_ && server_state_ == state;
  const bool crowd = more >= processors();
  const bool wanted = !fitting && useless_state_ != state && (again || more > 0 || mode == Mode::always);
  // A few agents do not wait for a server that helps the next ones; many are faster with it.
  const bool first = mode == Mode::always || crowd;
  if (wanted && first) start_server(request, *state);
  if (fitting || mode == Mode::always) {
    const auto patience = mode == Mode::always ? forced_patience : crowd ? crowd_patience : milliseconds(0);
    if (auto agent = fork_agent(request, patience)) return std::move(*agent);
  }
  lock.unlock();
  ChildProcess agent = ChildProcess::start(request);
  if (wanted && !first) {
    lock.lock();
    if (!server_ || server_state_ != state) start_server(request, *state);
  }
  return agent;
}

std::optional<ChildProcess> WarmStart::fork_agent(const SpawnRequest& request, milliseconds patience) {
  if (!server_) return {};
  switch (server_->condition(patience)) {
    case WarmServer::Condition::starting: return {};
    case WarmServer::Condition::ready: break;
    case WarmServer::Condition::unfit: useless_state_ = server_state_; [[fallthrough]];
    case WarmServer::Condition::gone: forget_server(); return {};
  }
  end_when_idle();
  auto agent = server_->fork_agent(request);
  if (!agent && server_->condition() == WarmServer::Condition::gone) forget_server();
  return agent;
}

void WarmStart::start_server(const SpawnRequest& request, const LaunchState& state) noexcept {
  try {
    forget_server();
    if (!is_binary(request.argv.front())) {
      useless_state_ = state;
      return;
    }
    server_.emplace(request);
    server_state_ = state;
    watch_server();
    end_when_idle();
  } catch (const std::exception& problem) {  // the next agent asks again
    trace::log("no warm server: ", problem.what());
  }
}

void WarmStart::forget_server() noexcept {
  boost::system::error_code ignored;
  ended_.close(ignored);
  server_.reset();
}

void WarmStart::watch_server() {
  const int copy = ::fcntl(server_->pidfd(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0) return;  // the next start finds out
  ended_.assign(copy);
  ended_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [weak = weak_from_this()](boost::system::error_code error) {
                      const auto self = error ? nullptr : weak.lock();
                      // The leading thread does not wait: whoever has the mutex sees it, too.
                      const std::unique_lock lock =
                          self ? std::unique_lock(self->mutex_, std::try_to_lock) : std::unique_lock<std::mutex>();
                      if (lock && self->server_ && self->server_->has_ended()) self->forget_server();
                    });
}

void WarmStart::end_when_idle() {
  idle_.expires_after(idle_time);
  idle_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = error ? nullptr : weak.lock();
    const std::unique_lock lock =
        self ? std::unique_lock(self->mutex_, std::try_to_lock) : std::unique_lock<std::mutex>();
    if (!lock || !self->server_) return;
    self->server_->hang_up();
    self->last_state_.reset();  // an agent from time to time is not worth a server
  });
}

}  // namespace gangway::detail
