// gangway/_agent.*.so: makes the interpreter that loads it the native agent of the connection on
// its descriptors 0 and 1. So a Python controller gets workers that are its own interpreter,
// virtual environment and all.
//
//   python3 -u -c "__import__('_imp').create_dynamic(
//       __import__('_frozen_importlib').ModuleSpec('_gangway', None, origin='/.../_agent.*.so')).serve()"
//
// An expression, for __main__ to stay empty, of modules that every interpreter has loaded already.
// Users of the package import gangway._gangway; of this module nobody needs a name, and the init
// function has the one that an agent's module has in sys.modules, where module.cpp replaces it.
#include "python/common/py_ref.hpp"  // Python.h

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "python/common/exceptions.hpp"
#include "python/native/keeper.hpp"
#include "python/native/serve.hpp"
#include "python/native/stdio.hpp"
#include "python/native/warm.hpp"

namespace gangway::python {

namespace {

// The hooks of os.register_at_fork() run, as they do when the portable agent forks its keeper.
void fork_keeper_of_interpreter() {
  PyOS_BeforeFork();
  fork_keeper();
  PyOS_AfterFork_Child();
}

// As gangway-agent configures its interpreter, and command-line options would leave traces.
void settle_interpreter() {
  const PyRef faulthandler = PyRef::check(PyImport_ImportModule("faulthandler"));
  PyRef::check(PyObject_CallMethod(faulthandler.get(), "enable", "i", STDERR_FILENO));
  // Tasks are interrupted by it; whoever started us may have had it ignored.
  const PyRef signal = PyRef::check(PyImport_ImportModule("_signal"));
  const PyRef handler = PyRef::check(PyObject_GetAttrString(signal.get(), "default_int_handler"));
  PyRef::check(PyObject_CallMethod(signal.get(), "signal", "iO", SIGINT, handler.get()));
}

std::string executable() {
  PyObject* const path = PySys_GetObject("executable");
  return path != nullptr && PyUnicode_Check(path) ? text_of(path) : std::string();
}

PyObject* serve_connection(PyObject*, PyObject*) {
  int status = 1;
  try {
    const auto is_started = [] { return std::string(); };
    if (is_warm_server()) {
      prepare_process();
      settle_interpreter();
      serve_forks(is_started);
    } else {
      if (const std::string reason = check_stdio(); !reason.empty()) throw std::runtime_error(reason);
      fork_keeper_of_interpreter();
      prepare_process();
      settle_interpreter();
    }
    status = serve(executable(), is_started);
  } catch (const PythonError&) {
    PyErr_Print();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gangway-agent: %s\n", error.what());
  }
  std::fflush(nullptr);
  ::_exit(status);  // threads of ours may still run: no destructors
}

PyMethodDef functions[] = {
    {"serve", serve_connection, METH_NOARGS, "Serves the connection on descriptors 0 and 1, and does not return."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_gangway", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace

}  // namespace gangway::python

// NOLINTNEXTLINE(bugprone-reserved-identifier): the name that Python looks for
PyMODINIT_FUNC PyInit__gangway() { return PyModule_Create(&gangway::python::definition); }
