// What an agent's process does between its keeper and its end, whoever started Python in it:
// gangway-agent itself (main.cpp), or the interpreter that loaded the extension (extension.cpp).
#pragma once

#include <functional>
#include <string>

namespace gangway::python {

/// Signals and memory, as an agent needs them. After the keeper's fork, before threads.
void prepare_process();

/// Takes descriptors 0 and 1, reads the controller's HELLO, answers it, and runs tasks. Returns
/// the status to end with only when the connection cannot be served, or Python fails; else the
/// process ends in here. `executable` is what HELLO says; `start_python`, called after HELLO,
/// makes sure that this thread has the GIL, and gives the reason when there is no interpreter.
/// Throws Error.
[[nodiscard]] int serve(const std::string& executable, const std::function<std::string()>& start_python);

}  // namespace gangway::python
