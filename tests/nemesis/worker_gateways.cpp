// What workers do with gateways, and to them.
#include <boost/asio/steady_timer.hpp>

#include <signal.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/nemesis/worker.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/survivors.hpp"

namespace gangway::nemesis {

namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

// G4: what terminate may take beyond its timeout.
constexpr milliseconds terminate_grace = 2s;

pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t at = text.rfind(')');
  return at == text.npos ? 0 : static_cast<pid_t>(std::strtol(text.c_str() + at + 4, nullptr, 10));
}

std::string spec_of(const Operation& operation) {
  static constexpr const char* windows[] = {"", "", "", "//window=64K", "//window=64K", "//window=1024", "//window=0"};
  std::string spec = operation.other % 2 == 0 ? "popen" : "popen//python=/usr/bin/python3";
  spec += windows[operation.size % std::size(windows)];
  if (operation.count % 4 == 0) spec += "//execmodel=main_thread_only";
  if (operation.count % 3 == 0) spec += "//keepalive=100ms";
  if (operation.count % 5 < 2) spec += "//stdout=callback";
  return spec;
}

Source far_side(const std::string& function) {
  static const std::string text = Source::from_file(NEMESIS_FAR_SIDE).text;
  return Source::of_function(text, function, NEMESIS_FAR_SIDE);
}

/// Of those processes, the ones that still carry the cookie.
std::set<pid_t> still_there(const std::set<pid_t>& pids) {
  std::set<pid_t> left;
  for (const auto& survivor : test::find_survivors(failure_context().cookie))
    if (pids.contains(survivor.pid)) left.insert(survivor.pid);
  return left;
}

}  // namespace

// It lives as long as the gateway, which the host has.
void Worker::check_output(const HostPtr& host) {
  const auto came = [weak = std::weak_ptr(host), output = host->output, name = host->name](const Output& what) {
    const auto alive = weak.lock();
    const bool may_be_cut = !alive || alive->harmed() || alive->interrupted;
    if (const Verdict verdict = output->came(what.channel, what.text, may_be_cut); !verdict.empty())
      fail(name + ": " + verdict, alive.get());
  };
  if (const Outcome outcome = attempt([&] { host->gateway.set_output(came); }); !outcome && !host->harmed())
    fail("set_output: " + to_string(outcome), host.get());
}

void Worker::start(const Operation& operation) {
  world_.forget_dead_hosts();
  Realm& realm = *world_.realms[operation.pick % world_.realms.size()];
  const auto hosts = world_.hosts();
  const auto good =
      std::ranges::count_if(hosts, [&](const HostPtr& host) { return &host->realm == &realm && !host->harmed(); });
  if (world_.stopping || static_cast<std::size_t>(good) >= World::hosts_of_a_realm) return;
  const std::string spec = spec_of(operation);
  const auto host = std::make_shared<Host>("gateway " + std::to_string(world_.next_number++), realm);
  host->one_task_only = spec.find("main_thread_only") != spec.npos;
  host->has_output = spec.find("stdout=callback") != spec.npos;
  world_.history.note("start " + host->name + " in " + realm.name + ": " + spec);
  const auto call = watch("makegateway " + spec, host, nullptr, 30s);
  const Outcome outcome = attempt([&] { host->gateway = realm.group->makegateway(spec); });
  if (outcome) {
    const Outcome info = attempt([&] { host->worker = static_cast<pid_t>(host->gateway.info().pid); });
    host->keeper = parent_of(host->worker);
    host->history.note("started: pid " + std::to_string(host->worker) + ", keeper " + std::to_string(host->keeper));
    if (!info && !host->harmed()) fail("info() of a new gateway: " + to_string(info), host.get());
    if (host->has_output) check_output(host);
    world_.add(host);
  } else if (!host->harmed()) {
    fail("a gateway did not start: " + to_string(outcome), host.get());
  }
}

void Worker::execute(const HostPtr& host, const Operation& operation) {
  using Farewell = ChannelModel::Farewell;
  if (world_.is_full()) {  // make room instead
    if (const auto talk = world_.pick_conversation(operation.other)) drop(talk);
    return;
  }
  const bool long_one = operation.other % 8 == 0;
  double seconds = std::chrono::duration<double>(operation.time).count();
  std::string function;
  Dict kwargs;
  Farewell farewell = Farewell::none;
  const std::uint32_t lane = world_.next_number++;
  switch (operation.action) {
    case Action::echo: function = "echo"; break;
    case Action::flood:
      function = "flood";
      farewell = Farewell::report;
      kwargs = {{"lane", lane},
                {"count", operation.count * 10},
                {"form", static_cast<int>(operation.form)},
                {"size", 1 + operation.size / 8}};
      break;
    case Action::lines:
      function = "lines";
      farewell = Farewell::report;
      kwargs = {{"binary", operation.form == Form::bytes}};
      break;
    case Action::print:
      function = "printer";
      farewell = Farewell::report;
      kwargs = {{"lane", lane}, {"count", operation.count * 4}, {"size", 1 + operation.size % 1'000}};
      break;
    case Action::sleep:
      function = "sleep";
      kwargs = {{"seconds", long_one ? 1000 : seconds}};
      break;
    case Action::loop:
      if (long_one && !world_.loops_for_ever.exchange(true)) seconds = 1000;
      function = "loop";
      kwargs = {{"seconds", seconds}};
      break;
    case Action::hold_gil:
      function = "hold_gil";
      kwargs = {{"seconds", long_one ? 3 : seconds}};
      break;
    case Action::spawn:
      function = "spawn";
      kwargs = {{"count", 1 + operation.count % 3}};
      break;
    case Action::raise:
      function = "raise_error";
      farewell = Farewell::error;
      break;
    case Action::leave:
      function = "leave";
      host->was_harmed = true;
      break;
    default: fail("no task for " + std::string(name_of(operation.action)), host.get());
  }
  std::ostringstream text;
  text << function << " " << Value(kwargs);
  host->history.note("remote_exec " + text.str());
  // The source has to pass a small window, so a gateway that does not answer may hold it up.
  const auto call = watch("remote_exec " + function, host, nullptr, {});
  Channel channel;
  const Outcome outcome = attempt([&] { channel = host->gateway.remote_exec(far_side(function), kwargs); });
  if (!outcome) {
    host->history.note("remote_exec " + function + ": " + to_string(outcome));
    if (outcome.kind != Outcome::lost || !host->harmed()) fail("remote_exec: " + to_string(outcome), host.get());
    return;
  }
  if (operation.action == Action::echo)
    return add_answering(host, channel, function, Farewell::report,
                         operation.other % 3 == 0 ? Readers::many : Readers::one);
  const bool many = operation.other % 3 == 0 && operation.action != Action::lines;
  ChannelModel model(many ? Readers::many : Readers::one, farewell);
  if (operation.action == Action::flood) model.lane(lane).announce(operation.count * 10);
  if (operation.action == Action::lines) (void)model.lane(lane);
  const auto talk = std::make_shared<Conversation>(
      host->name + "/" + std::to_string(channel.id()) + " (" + text.str() + ")", host, channel, std::move(model));
  talk->lanes[0] = lane;
  if (operation.action == Action::lines) talk->files.emplace(channel, operation.form == Form::bytes);
  if (operation.action == Action::print && host->has_output) talk->prints = Numbered{lane, operation.count * 4};
  world_.add(talk);
}

void Worker::ask(const HostPtr& host, const Operation& operation) {
  const bool status = operation.action == Action::status;
  const auto call = watch(status ? "remote_status" : "ping", host, nullptr, operation.time);
  const Outcome outcome = attempt([&] {
    if (status)
      (void)host->gateway.remote_status(operation.time);
    else
      (void)host->gateway.ping(operation.time);
  });
  if (outcome || outcome.kind == Outcome::timed_out) return;
  host->history.note((status ? "remote_status: " : "ping: ") + to_string(outcome));
  if (outcome.kind != Outcome::lost || !host->harmed())
    fail("a question ended with: " + to_string(outcome), host.get());
}

void Worker::end(const HostPtr& host, const Operation& operation) {
  host->was_harmed = true;
  world_.history.note("exit " + host->name);
  host->history.note("exit");
  const auto call = watch("exit and join", host, nullptr, operation.time);
  host->gateway.exit();
  bool joined = false;
  const Outcome outcome = attempt([&] { joined = host->gateway.join(operation.time); });
  if (!outcome) fail("join: " + to_string(outcome), host.get());
  if (!joined) return;
  host->history.note("joined");
  host->is_dead();
  if (const auto left = still_there({host->worker, host->keeper}); !left.empty())
    fail("join returned true, and process " + std::to_string(*left.begin()) + " is there", host.get());
}

void Worker::harm(const HostPtr& host, const Operation& operation) {
  if (host->dead_since() || !host->gateway.hasreceiver()) return;  // the pid may be somebody else's
  const std::string what(name_of(operation.action));
  if (operation.action == Action::pause) {
    host->history.note(what);
    host->paused = true;
    ::kill(host->worker, SIGSTOP);
    if (operation.other % 4 == 0) return;  // it stays so
    const auto timer = std::make_shared<boost::asio::steady_timer>(handlers_, operation.time);
    timer->async_wait([timer, host](const auto&) {
      if (host->dead_since() || !host->gateway.hasreceiver()) return;
      host->history.note("continued");
      host->paused = false;
      ::kill(host->worker, SIGCONT);
    });
    return;
  }
  const bool to_keeper = operation.action == Action::kill && operation.other % 4 == 0;
  world_.history.note(what + (to_keeper ? " the keeper of " : " ") + host->name);
  host->history.note(what + (to_keeper ? " (the keeper)" : ""));
  host->was_harmed = true;
  ::kill(to_keeper ? host->keeper : host->worker, operation.action == Action::kill ? SIGKILL : SIGSEGV);
  if (operation.action == Action::kill || !host->paused) host->is_dead();
}

void Worker::terminate(const Operation& operation) {
  Realm& realm = *world_.realms[operation.pick % world_.realms.size()];
  terminate(realm, operation.time);
}

void Worker::terminate(Realm& realm, milliseconds timeout) {
  std::vector<HostPtr> ended;
  std::set<pid_t> pids;
  for (const HostPtr& host : world_.hosts()) {
    if (&host->realm != &realm) continue;
    ended.push_back(host);
    host->history.note("terminate(" + std::to_string(timeout.count()) + " ms) of " + realm.name);
  }
  ++realm.terminations;
  world_.history.note("terminate(" + std::to_string(timeout.count()) + " ms) of " + realm.name);
  const auto begin = Clock::now();
  TerminateReport report;
  {
    const auto call = watch("terminate", nullptr, nullptr, timeout + terminate_grace);
    if (const Outcome outcome = attempt([&] { report = realm.group->terminate(timeout); }); !outcome)
      fail("terminate: " + to_string(outcome));
  }
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
  world_.history.note("terminate took " + std::to_string(took.count()) + " ms");
  if (took > timeout + terminate_grace)
    fail("terminate(" + std::to_string(timeout.count()) + " ms) took " + std::to_string(took.count()) + " ms");
  if (!report.survivors.empty()) fail("terminate reports survivors: " + report.survivors.front());
  for (const HostPtr& host : ended) {
    host->is_dead();
    if (const auto left = still_there({host->worker, host->keeper}); !left.empty())
      fail("terminate returned, and process " + std::to_string(*left.begin()) + " is there", host.get());
    pids.merge(host->pids());
  }
  // Their keepers have sent KILL to these; the kernel may take a moment.
  if (!test::eventually([&] { return still_there(pids).empty(); }, 2s))
    fail("a process that a task has started survives terminate: " + std::to_string(*still_there(pids).begin()));
}

}  // namespace gangway::nemesis
