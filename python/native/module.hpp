// The module _gangway: task.py, native.py, and what C++ puts beside them.
// Thread rule: the GIL is held.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "python/common/py_ref.hpp"
#include "python/native/agent.hpp"
#include "python/native/agent_side.hpp"

namespace gangway::python {

/// What the C functions of the module share: there is one interpreter and one connection.
struct Module {
  std::shared_ptr<Agent> agent;
  std::shared_ptr<AgentSide> side;
  PyObject* dict = nullptr;  // of the module
  PyObject* gateway = nullptr;
};

[[nodiscard]] Module& module() noexcept;

/// What of the module is the same for every agent; run_module does it unless it was done
/// before. False with a Python exception set.
[[nodiscard]] bool prepare_module();

/// Makes the module, and runs it: returns when something is wrong with a Python exception
/// set, else never.
void run_module(std::shared_ptr<Agent> agent);

/// A function of the module, not owned. Throws PythonError.
[[nodiscard]] PyObject* function(const char* name);
/// The same of a frozen file that is executed when it is needed first.
[[nodiscard]] PyObject* function(const char* name, std::string_view frozen);

/// Ends a process that user code has forked and that came back to us: it is nobody's agent.
/// `text`: of its error, or None.
[[noreturn]] void leave_child(PyObject* text);

}  // namespace gangway::python
