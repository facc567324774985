#include <gangway/group.hpp>

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <ostream>
#include <utility>

#include "core/fork_guard.hpp"
#include "core/runtime.hpp"
#include "core/trace.hpp"
#include "gateways/cookie.hpp"
#include "gateways/ending.hpp"
#include "gateways/fan_out.hpp"
#include "gateways/gateway_state.hpp"
#include "gateways/line_writer.hpp"
#include "gateways/ssh_host.hpp"
#include "gateways/warm_start.hpp"

namespace gangway {

using detail::GatewayState;
using detail::LineWriter;
using GatewayPtr = std::shared_ptr<GatewayState>;

namespace {

// So long terminate() waits for this process's stdout and stderr to take the last lines.
constexpr std::chrono::milliseconds last_lines_patience{200};

// Of a spec that cannot be started, too: that is for launch() to say.
bool is_native(const XSpec& spec) {
  try {
    return detail::Bootstrap::is_native(spec);
  } catch (const SpecError&) {
    return false;
  }
}

}  // namespace

struct Group::State {
  const std::shared_ptr<detail::Runtime> runtime = detail::Runtime::shared();
  const std::shared_ptr<detail::WarmStart> warm = std::make_shared<detail::WarmStart>(runtime);
  detail::TransportContext transports;  // set when the group is made, then constant
  const detail::ForkGuard fork;

  std::mutex mutex;
  std::vector<GatewayPtr> members;    // in the order of creation
  std::vector<GatewayPtr> exited;     // asked to end, not yet known to be gone
  std::vector<std::string> starting;  // ids that are taken by gateways under way
  std::uint64_t next_id = 0;
  std::string defaultspec = "popen";
  ExecModel execmodel = ExecModel::thread;
  ExecModel remote_execmodel = ExecModel::thread;
  NativeAgent native_agent;

  // In a forked child the mutex may be held by a thread that is not there.
  void check_process() const {
    if (fork.in_child())
      throw_error(errc::terminated, "this group belongs to the parent process: not usable after fork");
  }
  [[nodiscard]] std::unique_lock<std::mutex> lock() {
    check_process();
    return std::unique_lock(mutex);
  }
  [[nodiscard]] auto find(std::string_view id) {
    return std::find_if(members.begin(), members.end(), [&](const GatewayPtr& member) { return member->id() == id; });
  }
  [[nodiscard]] bool taken(std::string_view id) {
    return find(id) != members.end() || std::find(starting.begin(), starting.end(), id) != starting.end();
  }
};

Group::Group() : state_(std::make_shared<State>()) {
  const auto member = [weak = std::weak_ptr(state_)](std::string_view id) -> GatewayPtr {
    const auto state = weak.lock();
    if (!state) return nullptr;
    const auto lock = state->lock();
    const auto found = state->find(id);
    return found == state->members.end() ? nullptr : *found;
  };
  state_->transports = {state_->runtime,
                        state_->warm,
                        std::make_shared<detail::FoundInterpreters>(),
                        std::make_shared<detail::SshControl>(),
                        detail::agent_cookie(),
                        member,
                        std::make_shared<detail::SshPool>(state_->runtime)};
}

// The destructor ends what has started when a later one fails.
Group::Group(const std::vector<std::string>& specs, std::string_view execmodel) : Group() {
  set_execmodel(execmodel);
  (void)makegateways(specs);
}

Group::~Group() {
  if (state_->fork.in_child()) {  // what it holds is shared with the parent's: Asio's epoll set for one
    detail::abandon(state_);
    return;
  }
  try {
    (void)terminate(std::chrono::seconds(1));
  } catch (const std::exception& problem) {
    trace::log("terminating a group failed: ", problem.what());
  }
}

std::string Group::defaultspec() const {
  const auto lock = state_->lock();
  return state_->defaultspec;
}

void Group::set_defaultspec(std::string_view spec) {
  std::string text = XSpec(spec).text();
  const auto lock = state_->lock();
  state_->defaultspec = std::move(text);
}

ExecModel Group::execmodel() const {
  const auto lock = state_->lock();
  return state_->execmodel;
}

ExecModel Group::remote_execmodel() const {
  const auto lock = state_->lock();
  return state_->remote_execmodel;
}

void Group::set_execmodel(std::string_view execmodel, std::optional<std::string_view> remote_execmodel) {
  const ExecModel here = execmodel_named(execmodel);
  const ExecModel there = execmodel_named(remote_execmodel.value_or(execmodel));
  const auto lock = state_->lock();
  if (!state_->members.empty() || !state_->starting.empty())
    throw_error(errc::group_error, "the execution model cannot change: the group has gateways");
  state_->execmodel = here;
  state_->remote_execmodel = there;
}

void Group::set_ssh_askpass(SshAskpass askpass) {
  state_->check_process();
  state_->transports.ssh->set_askpass(std::move(askpass));
}

void Group::allocate_id(XSpec& spec) {
  if (spec.has("id")) return;
  const auto lock = state_->lock();
  const std::string id = "gw" + std::to_string(state_->next_id++);
  if (state_->taken(id)) throw_error(errc::group_error, "the id " + id + " is in use");
  spec.set("id", id);
}

GatewayPtr Group::launch(XSpec& spec) {
  state_->check_process();
  allocate_id(spec);
  const std::string id = spec.id().value();
  NativeAgent native_agent;
  {
    const auto lock = state_->lock();
    if (state_->taken(id)) throw_error(errc::group_error, "the id " + id + " is in use");
    if (!spec.has("execmodel")) spec.set("execmodel", to_string(state_->remote_execmodel));
    state_->starting.push_back(id);
    native_agent = state_->native_agent;
  }
  GatewayPtr gateway;
  const auto launched = [&] {
    const std::lock_guard lock(state_->mutex);
    std::erase(state_->starting, id);
    if (gateway) state_->members.push_back(gateway);
  };
  try {
    gateway = GatewayState::launch(state_->transports, spec, std::move(native_agent),
                                   [state = std::weak_ptr(state_), id] { leave(state, id); });
  } catch (...) {
    launched();
    state_->warm->end_server();
    throw;
  }
  launched();
  return gateway;
}

// A member was asked to end: it is no member any more, but still has to be waited for.
void Group::leave(const std::weak_ptr<State>& weak, const std::string& id) {
  const auto state = weak.lock();
  if (!state) return;
  const std::lock_guard lock(state->mutex);
  const auto member = state->find(id);
  if (member == state->members.end()) return;
  std::erase_if(state->exited, [](const GatewayPtr& gateway) { return gateway->gone(); });
  state->exited.push_back(*member);
  state->members.erase(member);
}

Gateway Group::makegateway(std::string_view spec) {
  return makegateway(XSpec(spec.empty() ? defaultspec() : std::string(spec)));
}

Gateway Group::makegateway(XSpec spec) {
  const GatewayPtr gateway = launch(spec);
  try {
    gateway->wait_ready();
  } catch (...) {
    gateway->exit();
    throw;
  }
  return Gateway(gateway);
}

std::vector<Started> Group::start(std::vector<XSpec> specs, std::size_t fanout, bool stop_at_failure) {
  using detail::FanOut;
  const std::size_t direct = fanout == 0 ? specs.size() : std::min(fanout, specs.size());
  state_->warm->announce(static_cast<std::size_t>(
      std::count_if(specs.begin(), specs.begin() + static_cast<std::ptrdiff_t>(direct), is_native)));
  std::vector<Started> all;
  try {
    FanOut fan_out(
        std::move(specs), fanout, [this](XSpec& spec) { return launch(spec); },
        stop_at_failure ? FanOut::OnFailure::stop : FanOut::OnFailure::go_on);
    for (FanOut::Member& member : fan_out.run())
      all.push_back({member.spec.id().value_or(""), Gateway(std::move(member.gateway)), std::move(member.error)});
  } catch (...) {
    state_->warm->announce(0);
    state_->warm->end_server();
    throw;
  }
  state_->warm->announce(0);
  return all;
}

std::vector<Gateway> Group::makegateways(const std::vector<std::string>& specs, std::size_t fanout) {
  std::vector<XSpec> parsed;
  for (const std::string& spec : specs) parsed.emplace_back(spec.empty() ? defaultspec() : spec);
  return makegateways(std::span<const XSpec>(parsed), fanout);
}

std::vector<Gateway> Group::makegateways(std::span<const XSpec> specs, std::size_t fanout) {
  std::vector<Gateway> all;
  for (Started& started : start({specs.begin(), specs.end()}, fanout, true)) all.push_back(std::move(started.gateway));
  return all;
}

std::vector<Started> Group::start_each(std::span<const XSpec> specs, std::size_t fanout) {
  return start({specs.begin(), specs.end()}, fanout, false);
}

void Group::set_native_agent(NativeAgent agent) {
  const auto lock = state_->lock();
  state_->native_agent = std::move(agent);
}

std::size_t Group::size() const {
  const auto lock = state_->lock();
  return state_->members.size();
}

std::vector<Gateway> Group::gateways() const {
  const auto lock = state_->lock();
  std::vector<Gateway> all;
  all.reserve(state_->members.size());
  for (const GatewayPtr& member : state_->members) all.push_back(Gateway(member));
  return all;
}

bool Group::contains(std::string_view id) const {
  const auto lock = state_->lock();
  return state_->find(id) != state_->members.end();
}

bool Group::contains(const Gateway& gateway) const {
  const auto lock = state_->lock();
  return std::find(state_->members.begin(), state_->members.end(), gateway.state_) != state_->members.end();
}

Gateway Group::at(std::string_view id) const {
  const auto lock = state_->lock();
  const auto member = state_->find(id);
  if (member == state_->members.end()) throw_error(errc::group_error, "no gateway " + std::string(id));
  return Gateway(*member);
}

Gateway Group::at(std::size_t index) const {
  const auto lock = state_->lock();
  if (index >= state_->members.size()) throw_error(errc::group_error, "no gateway number " + std::to_string(index));
  return Gateway(state_->members[index]);
}

MultiChannel Group::remote_exec(std::string_view source) { return remote_exec(Source{std::string(source), {}, {}}); }

MultiChannel Group::remote_exec(const Source& source, const Dict& kwargs) {
  std::vector<Channel> channels;
  for (Gateway& member : gateways()) channels.push_back(member.remote_exec(source, kwargs));
  return MultiChannel(std::move(channels));
}

TerminateReport Group::terminate(std::optional<std::chrono::nanoseconds> timeout) {
  if (state_->fork.in_child()) return {};
  if (detail::Runtime::in_handler()) throw_error(errc::would_deadlock, "terminate on the thread that does the I/O");
  const auto deadline = detail::deadline_after(timeout);
  std::vector<GatewayPtr> leaving;
  {
    const auto lock = state_->lock();
    leaving = state_->exited;
    leaving.insert(leaving.end(), state_->members.begin(), state_->members.end());
  }
  detail::Ending ending(state_->runtime, std::move(leaving), deadline);
  state_->warm->end_server();
  TerminateReport report = ending.run();
  state_->transports.ssh_control->end();
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) (void)LineWriter::shared(fd)->flush(last_lines_patience);
  const auto lock = state_->lock();
  std::erase_if(state_->exited, [](const GatewayPtr& gateway) { return gateway->gone(); });
  return report;
}

std::ostream& operator<<(std::ostream& out, const Group& group) {
  if (group.state_->fork.in_child()) return out << "<Group of the parent process>";
  out << "<Group [";
  const char* before = "";
  for (const Gateway& member : group.gateways()) out << std::exchange(before, ", ") << "'" << member.id() << "'";
  return out << "]>";
}

Group& default_group() {
  static Group group;
  return group;
}

Gateway makegateway(std::string_view spec) { return default_group().makegateway(spec); }

}  // namespace gangway
