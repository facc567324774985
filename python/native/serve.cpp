#include "python/native/serve.hpp"

#include <malloc.h>
#include <signal.h>

#include <utility>

#include <gangway/error.hpp>

#include "core/trace.hpp"
#include "python/native/agent.hpp"
#include "python/native/hello.hpp"
#include "python/native/module.hpp"
#include "python/native/stdio.hpp"

namespace gangway::python {

void prepare_process() {
  ::signal(SIGPIPE, SIG_IGN);  // as Python does, and before the stream looks
  struct sigaction nudge {};   // ends a system call of the main thread, and does nothing else (agent.cpp)
  nudge.sa_handler = [](int) {};
  ::sigaction(SIGRTMAX, &nudge, nullptr);
  // Items of 1 MiB into memory that was used before: fresh pages cost three times as much as
  // the transfer (1.0 instead of 3.3 GB/s). An agent that had large items keeps 32 MiB.
  ::mallopt(M_MMAP_THRESHOLD, 1024 * 1024 + 64 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
}

int serve(const std::string& executable, const std::function<std::string()>& start_python) {
  auto descriptors = take_stdio();
  Bytes received;
  Hello hello = read_hello(descriptors.read.get(), received);
  if (!hello.refused) hello.refused = settle(hello);
  trace::set_level(hello.debug);
  trace::log("creating workergateway ", hello.id);

  const std::string version = std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION) + "." +
                              std::to_string(PY_MICRO_VERSION);
  const auto agent = Agent::create(hello, std::move(descriptors.read), std::move(descriptors.write));
  agent->start(make_answer(hello, version, executable), std::move(received));
  if (hello.refused) {
    (void)agent->connection().drained();
    return 1;
  }
  if (const std::string reason = start_python(); !reason.empty()) throw_error(errc::bootstrap_failed, reason);
  run_module(agent);
  PyErr_Print();
  return 1;
}

}  // namespace gangway::python
