// gangway-agent: serves one connection on its standard input and output.
//
// Started with a socket of packets on descriptor 0 it is a warm server, and what follows happens
// in its forks, with Python started already (warm.hpp).
//
// In order: the keeper is forked; the controller's HELLO is read and answered; Python
// starts, while what comes in waits in the pipe; tasks run until the connection ends.
#include "python/common/py_ref.hpp"  // Python.h

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>

#include "python/native/interpreter.hpp"
#include "python/native/keeper.hpp"
#include "python/native/serve.hpp"
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

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--keep") {
    if (const std::string reason = check_stdio(); !reason.empty()) fail(reason);
    fork_keeper();
    ::execvp(argv[2], argv + 2);
    fail(std::string(argv[2]) + ": " + std::strerror(errno));
  }
  const InterpreterOptions options = parse(argc, argv);
  const auto start_python = [&options] { return Py_IsInitialized() != 0 ? std::string() : start_interpreter(options); };
  int status = 1;
  try {
    ::signal(SIGINT, SIG_DFL);  // tasks are interrupted by it; a shell's background jobs have it ignored
    if (is_warm_server()) {
      prepare_process();
      serve_forks(start_python);
    } else {
      if (const std::string reason = check_stdio(); !reason.empty()) fail(reason);
      fork_keeper();
      prepare_process();
    }
    status = serve(options.executable, start_python);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gangway-agent: %s\n", error.what());
  }
  std::fflush(nullptr);
  ::_exit(status);  // threads of ours may still run: no destructors
}
