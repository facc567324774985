// Random operations by several threads on many channels of many gateways, with crashes,
// and a model that says what must not happen. See README.md.
#include <malloc.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <thread>

#include "tests/nemesis/worker.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace {

using namespace gangway;
using namespace gangway::nemesis;
using namespace std::chrono_literals;
using test::Holdings;

struct Options {
  std::uint64_t seed = std::random_device()();
  unsigned seconds = 30;
  unsigned threads = 4;
  unsigned round = 4;
};

/// What the process holds when nothing is going on.
struct Footprint {
  Holdings holdings = Holdings::now();
  std::size_t heap = 0;  // bytes in use; 0: not known (sanitizers)

  static Footprint now() {
    Footprint footprint;
    const auto info = ::mallinfo2();
    footprint.heap = info.uordblks + info.hblkhd;
    return footprint;
  }
};

// A round of some seconds holds megabytes; what it may leave is caches of the C library and
// of the runtime. A leak of one channel per round shows after some dozen rounds.
constexpr std::size_t heap_noise = 256 * 1024;

void play(const Options& options, std::uint64_t seed) {
  World world(seed);
  failure_context().world = &world;
  failure_context().again = "nemesis --seed " + std::to_string(seed) + " --seconds " + std::to_string(options.round) +
                            " --threads " + std::to_string(options.threads);
  History::restart_clock();
  boost::asio::thread_pool handlers(1);
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < options.threads; ++i)
    workers.push_back(std::make_unique<Worker>(world, seed * 1'000 + i, "worker " + std::to_string(i), handlers));

  History::name_thread("main");
  Generator first(seed);
  for (std::size_t i = 0; i < 2 * World::hosts_of_a_realm; ++i) {
    Operation operation = first.next();
    operation.pick = static_cast<std::uint32_t>(i);       // both groups
    operation.other = static_cast<std::uint32_t>(i / 2);  // both agents
    workers.front()->start(operation);
  }

  std::jthread watchman([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      world.watch.check([](const std::string& what, const Watch::Entry& entry) {
        fail("a call does not return: " + what, entry.host.get(), entry.conversation.get());
      });
      std::this_thread::sleep_for(50ms);
    }
  });
  std::vector<std::jthread> threads;
  for (auto& worker : workers) threads.emplace_back([&] { worker->run(); });
  std::this_thread::sleep_for(std::chrono::seconds(options.round));

  // The end comes while everybody is busy.
  for (auto& realm : world.realms) workers.front()->terminate(*realm, 500ms);
  world.stopping = true;
  for (auto& realm : world.realms) workers.front()->terminate(*realm, 500ms);
  threads.clear();
  // A gateway may have been started meanwhile, after the last terminate.
  for (auto& realm : world.realms) workers.front()->terminate(*realm, 500ms);
  handlers.join();  // handlers and timers
  const auto ended = [&] { return world.watch.size() == 0; };
  if (!test::eventually(ended, 2 * end_after_death)) fail("an asynchronous operation has not completed");
  // What tasks have printed before their last word is on its way to the callback, or there.
  for (const auto& output : world.outputs())
    if (!test::eventually([&] { return output.model->settled().empty(); }, end_after_death)) {
      output.history->print(std::cout);
      fail(output.gateway + ": " + output.model->settled());
    }
  watchman.request_stop();
  watchman.join();
  std::size_t operations = 0;
  for (auto& worker : workers) operations += worker->operations();
  world.forget_all();
  if (!test::eventually([] { return Conversation::alive == 0; })) fail("a handler was never run, nor destroyed");
  std::cout << "round " << seed << ": " << operations << " operations, " << world.items_sent << " items sent, "
            << world.items_received << " received; the news of a death took at most "
            << std::chrono::duration_cast<std::chrono::milliseconds>(world.watch.longest_after_death()).count() << " ms"
            << std::endl;
  failure_context().world = nullptr;
}

void nothing_is_left(const std::string& found) {
  if (const auto survivors = test::wait_for_no_survivors(failure_context().cookie, 2s); !survivors)
    fail(survivors.message());
  std::ifstream file(found);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!text.empty()) fail("a far side has found:\n" + text);
}

void is_flat(const Footprint& before) {
  Footprint after;
  const auto flat = [&] {
    after = Footprint::now();
    return after.holdings.more_than(before.holdings).empty() && after.heap <= before.heap + heap_noise;
  };
  if (test::eventually(flat, 5s)) return;
  fail("left behind by the rounds since the second: " + std::to_string(after.heap - before.heap) + " bytes\n" +
       after.holdings.more_than(before.holdings));
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Random operations and crashes against a model.");
  app.add_option("--seed", options.seed, "of the first round; the next ones count up");
  app.add_option("--seconds", options.seconds, "how long");
  app.add_option("--threads", options.threads, "workers");
  app.add_option("--round", options.round, "seconds of a round");
  CLI11_PARSE(app, argc, argv);

  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::cout << "nemesis --seed " << options.seed << " --seconds " << options.seconds << " --threads " << options.threads
            << std::endl;
  const test::CookieScope cookie;
  const test::TemporaryDirectory directory;
  const test::EnvironmentScope found("NEMESIS_FOUND", directory / "found");
  failure_context().cookie = cookie.value();

  const auto end = Clock::now() + std::chrono::seconds(options.seconds);
  std::optional<Footprint> before;
  for (std::uint64_t seed = options.seed; Clock::now() < end; ++seed) {
    play(options, seed);
    nothing_is_left(directory / "found");
    if (seed == options.seed + 1) before = Footprint::now();
    if (before) is_flat(*before);
  }
}
