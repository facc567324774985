// Shows what gateways are doing, live: starts some with work in them and asks each for its
// remote_status once in a while. A table that refreshes on a terminal, plain lines elsewhere.
// Ctrl-C ends it.
#include <gangway/gangway.hpp>

#include <CLI/CLI.hpp>

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

constexpr auto work = R"(
    def compute(channel):
        n = 0
        while not channel.isclosed():
            n = (n * 31 + 7) % 1000003

    def collect(channel):
        kept = []
        while True:
            kept.append(bytes(100000))
            channel.send(kept[-1])

    def wait(channel):
        channel.receive()
  )";

std::string with_unit(double bytes) {
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = next;
  }
  char text[32];
  std::snprintf(text, sizeof text, bytes < 10 && *unit != 'B' ? "%.1f %s" : "%.0f %s", bytes, unit);
  return text;
}

std::string seconds(std::chrono::duration<double> time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1fs", time.count());
  return text;
}

using Row = std::vector<std::string>;
const Row head{"gateway", "pid", "agent", "python", "memory", "queued", "unresponsive", "tasks"};

Row row_of(gangway::Gateway& gateway, std::chrono::milliseconds patience) {
  try {
    const gangway::RemoteStatus status = gateway.remote_status(patience);
    std::uint64_t queued = 0;
    for (const auto& [channel, bytes] : status.queued) queued += bytes.arrived + bytes.to_send;
    std::string tasks;
    for (const gangway::TaskStatus& task : status.tasks)
      tasks += (tasks.empty() ? "" : ", ") + task.source + " " + seconds(task.age);
    if (status.tasks.empty()) tasks = std::to_string(status.numexecuting);
    const gangway::AgentInfo info = gateway.info();  // for an agent that says less
    return {gateway.id(),
            std::to_string(info.pid),
            info.agent,
            info.python,
            status.memory ? with_unit(static_cast<double>(*status.memory)) : "-",
            with_unit(static_cast<double>(queued)),
            status.unresponsive.count() > 0 ? seconds(status.unresponsive) : "-",
            tasks};
  } catch (const gangway::TimeoutError&) {
    const auto silent = gateway.unresponsive().value_or(patience);
    return {gateway.id(), std::to_string(gateway.info().pid), "-", "-", "-", "-", seconds(silent), "no answer"};
  } catch (const gangway::ConnectionLost& lost) {
    return {gateway.id(), "-", "-", "-", "-", "-", "-", lost.death().summary()};
  }
}

void print(const std::vector<Row>& rows, bool on_terminal) {
  std::vector<std::size_t> widths(head.size());
  for (const Row& row : rows)
    for (std::size_t at = 0; at < row.size(); ++at) widths[at] = std::max(widths[at], row[at].size());
  std::string text = on_terminal ? "\033[H" : "";  // home: drawn over the one before, without a flash
  for (const Row& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at) {
      text += row[at];
      if (at + 1 < row.size()) text.append(widths[at] - row[at].size() + 2, ' ');
    }
    text += on_terminal ? "\033[K\n" : "\n";
  }
  if (on_terminal) text += "\033[J";
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

/// Waits; true when somebody pressed Ctrl-C meanwhile.
bool interrupted(const sigset_t& signals, std::chrono::milliseconds time) {
  const timespec wait{time.count() / 1000, time.count() % 1000 * 1'000'000};
  return ::sigtimedwait(&signals, nullptr, &wait) > 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows the status of gateways, live.");
  std::vector<std::string> specs{"popen", "popen", "popen"};
  double interval = 1;
  int count = 0;
  app.add_option("specs", specs, "what to start; three local gateways otherwise");
  app.add_option("-i,--interval", interval, "seconds between two looks")->check(CLI::Range(0.01, 3600.0));
  app.add_option("-n,--count", count, "end after so many looks; 0: only at Ctrl-C")->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);

  // Before any thread is there, so that all of them leave these to us.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  try {
    gangway::Group group;
    std::vector<gangway::Channel> busy;
    std::vector<gangway::Gateway> gateways = group.makegateways(specs);
    const std::vector<std::string> jobs{"compute", "collect", "wait"};
    for (std::size_t at = 0; at < gateways.size(); ++at)
      busy.push_back(gateways[at].remote_exec(
          gangway::Source::of_function(work, jobs[at % jobs.size()], jobs[at % jobs.size()] + ".py")));

    const bool on_terminal = ::isatty(STDOUT_FILENO) == 1;
    if (on_terminal) std::fputs("\033[2J", stdout);
    const std::chrono::milliseconds pause(static_cast<std::int64_t>(interval * 1000));
    for (int look = 1;; ++look) {
      std::vector<Row> rows{head};
      for (gangway::Gateway& gateway : gateways) rows.push_back(row_of(gateway, std::chrono::seconds(1)));
      print(rows, on_terminal);
      if (look == count || interrupted(signals, pause)) break;
    }
    busy.clear();
    for (const std::string& id : group.terminate(std::chrono::seconds(1)).killed)
      std::fprintf(stderr, "%s had to be killed\n", id.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gwstatus: %s\n", error.what());
    return 1;
  }
  return 0;
}
