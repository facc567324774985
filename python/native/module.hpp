// The module _gangway: task.py, native.py, and what C++ puts beside them.
// Thread rule: the GIL is held.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "python/native/agent.hpp"
#include "python/native/object_walker.hpp"
#include "python/native/py_ref.hpp"

namespace gangway::python {

/// What the C functions of the module share: there is one interpreter and one connection.
struct Module {
  std::shared_ptr<Agent> agent;
  PyObject* dict = nullptr;  // of the module
  PyObject* gateway = nullptr;
  PyObject* remote_error = nullptr;
  PyObject* timeout_error = nullptr;
  PyObject* dump_error = nullptr;
  PyObject* load_error = nullptr;
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

/// Makes a Python exception of the C++ exception that is being handled.
void translate_exception() noexcept;

/// The OSError of a process that user code has forked.
[[noreturn]] void refuse_child();

/// Ends a process that user code has forked and that came back to us: it is nobody's agent.
/// `text`: of its error, or None.
[[noreturn]] void leave_child(PyObject* text);

/// UTF-8 of str(object), whatever is in it.
[[nodiscard]] std::string text_of(PyObject* object);

}  // namespace gangway::python
