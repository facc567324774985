// gangway-agent: serves one connection on its standard input and output.
//
// Started with a socket of packets on descriptor 0 it is a warm server, and what follows happens
// in its forks, with Python started already (warm.hpp).
//
// In order: the keeper is forked; the controller's HELLO is read and answered; Python
// starts, while what comes in waits in the pipe; tasks run until the connection ends.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>

#include "core/trace.hpp"
#include "python/native/agent.hpp"
#include "python/native/hello.hpp"
#include "python/native/interpreter.hpp"
#include "python/native/keeper.hpp"
#include "python/native/module.hpp"
#include "python/native/stdio.hpp"
#include "python/native/warm.hpp"

namespace {

using namespace gangway;
using namespace gangway::python;

constexpr const char* usage =
    "usage: gangway-agent [-BEISs] [--python PATH]\n"
    "\n"
    "Serves the Gangway connection on descriptors 0 and 1; started by a controller, not by hand.\n"
    "\n"
    "  -B             write no bytecode files\n"
    "  -E -I -S -s    as in python3: ignore PYTHON* variables, be isolated, no site, no user site\n"
    "  --python PATH  whose modules and sys.executable to use (default: " GANGWAY_PYTHON
    "); a virtual\n"
    "                 environment's python, for one; must be of version " PY_VERSION
    " or close\n"
    "  --keep COMMAND ARGUMENTS...  run this instead, and end it with the connection as an agent\n"
    "  --version      print the version and exit\n"
    "  --help         print this and exit\n";

[[noreturn]] void fail(const std::string& reason) {
  std::fprintf(stderr, "gangway-agent: %s\n", reason.c_str());
  std::exit(1);
}

InterpreterOptions parse(int argc, char** argv) {
  InterpreterOptions options;
  options.executable = GANGWAY_PYTHON;
  for (int at = 1; at < argc; ++at) {
    const std::string_view word = argv[at];
    if (word == "--version") {
      std::printf("gangway-agent %s, Python %s\n", GANGWAY_VERSION, PY_VERSION);
      std::exit(0);
    }
    if (word == "--help") {
      std::fputs(usage, stdout);
      std::exit(0);
    }
    if (word == "--python" && at + 1 < argc) {
      options.executable = argv[++at];
      continue;
    }
    if (word.size() < 2 || word[0] != '-') fail("unknown argument: " + std::string(word) + "\n" + usage);
    for (const char flag : word.substr(1)) switch (flag) {
        case 'B': options.write_bytecode = false; break;
        case 'E': options.use_environment = false; break;
        case 'I': options.isolated = true; break;
        case 'S': options.import_site = false; break;
        case 's': options.user_site = false; break;
        default: fail("unknown argument: " + std::string(word) + "\n" + usage);
      }
  }
  return options;
}

void prepare() {
  ::signal(SIGPIPE, SIG_IGN);  // as Python does, and before the stream looks
  struct sigaction nudge {};   // ends a system call of the main thread, and does nothing else (agent.cpp)
  nudge.sa_handler = [](int) {};
  ::sigaction(SIGRTMAX, &nudge, nullptr);
  ::signal(SIGINT, SIG_DFL);  // tasks are interrupted by it; a shell's background jobs have it ignored
  // Items of 1 MiB into memory that was used before: fresh pages cost three times as much as
  // the transfer (1.0 instead of 3.3 GB/s). An agent that had large items keeps 32 MiB.
  ::mallopt(M_MMAP_THRESHOLD, 1024 * 1024 + 64 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
}

int serve(const InterpreterOptions& options) {
  auto descriptors = take_stdio();
  Bytes received;
  Hello hello = read_hello(descriptors.read.get(), received);
  if (!hello.refused) hello.refused = settle(hello);
  trace::set_level(hello.debug);
  trace::log("creating workergateway ", hello.id);

  const std::string version = std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION) + "." +
                              std::to_string(PY_MICRO_VERSION);
  const auto agent = Agent::create(hello, std::move(descriptors.read), std::move(descriptors.write));
  agent->start(make_answer(hello, version, options.executable), std::move(received));
  if (hello.refused) {
    (void)agent->connection().drained();
    return 1;
  }
  if (Py_IsInitialized() == 0) {
    const std::string reason = start_interpreter(options);
    if (!reason.empty()) fail(reason);
  }
  run_module(agent);
  PyErr_Print();
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--keep") {
    if (const std::string reason = check_stdio(); !reason.empty()) fail(reason);
    fork_keeper();
    ::execvp(argv[2], argv + 2);
    fail(std::string(argv[2]) + ": " + std::strerror(errno));
  }
  const InterpreterOptions options = parse(argc, argv);
  int status = 1;
  try {
    if (is_warm_server()) {
      prepare();
      serve_forks(options);
    } else {
      if (const std::string reason = check_stdio(); !reason.empty()) fail(reason);
      fork_keeper();
      prepare();
    }
    status = serve(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gangway-agent: %s\n", error.what());
  }
  std::fflush(nullptr);
  ::_exit(status);  // threads of ours may still run: no destructors
}
