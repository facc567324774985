// Starts the embedded interpreter so that user code finds what `python3 -c ...` offers.
#pragma once

#include <string>
#include <vector>

namespace gangway::python {

struct InterpreterOptions {
  std::string executable;  // whose prefix, site-packages and sys.executable it gets
  bool write_bytecode = true;
  bool isolated = false;        // -I
  bool use_environment = true;  // -E
  bool import_site = true;      // -S
  bool user_site = true;        // -s
};

/// With the GIL held afterwards, by this thread: Python's main thread. The reason when it
/// cannot be started.
[[nodiscard]] std::string start_interpreter(const InterpreterOptions& options);

}  // namespace gangway::python
