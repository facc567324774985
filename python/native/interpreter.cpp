#include "python/native/interpreter.hpp"

#include "python/common/py_ref.hpp"

namespace gangway::python {

namespace {

class Config {
 public:
  Config() { PyConfig_InitPythonConfig(&config_); }
  ~Config() { PyConfig_Clear(&config_); }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;
  PyConfig* operator->() noexcept { return &config_; }
  PyConfig* get() noexcept { return &config_; }

 private:
  PyConfig config_;
};

std::string reason_of(const PyStatus& status) {
  return status.err_msg != nullptr ? status.err_msg : "the interpreter does not start";
}

}  // namespace

std::string start_interpreter(const InterpreterOptions& options) {
  PyPreConfig before;
  PyPreConfig_InitPythonConfig(&before);
  before.isolated = options.isolated ? 1 : 0;
  before.use_environment = options.use_environment && !options.isolated ? 1 : 0;
  before.parse_argv = 0;
  PyStatus status = Py_PreInitialize(&before);
  if (PyStatus_Exception(status) != 0) return reason_of(status);

  Config config;
  config->parse_argv = 0;
  config->isolated = options.isolated ? 1 : 0;
  config->use_environment = options.use_environment && !options.isolated ? 1 : 0;
  config->site_import = options.import_site ? 1 : 0;
  config->user_site_directory = options.user_site && !options.isolated ? 1 : 0;
  config->faulthandler = 1;    // a crash leaves the Python stacks on descriptor 2
  config->buffered_stdio = 0;  // stderr goes out line by line, as it is written
  if (!options.write_bytecode) config->write_bytecode = 0;
  wchar_t dash_c[] = L"-c";
  wchar_t* argv[] = {dash_c};
  status = PyConfig_SetArgv(config.get(), 1, argv);
  if (PyStatus_Exception(status) == 0)
    status = PyConfig_SetBytesString(config.get(), &config->program_name, options.executable.c_str());
  if (PyStatus_Exception(status) == 0) status = Py_InitializeFromConfig(config.get());
  if (PyStatus_Exception(status) != 0) return reason_of(status);

    // `python -c` looks for modules in the working directory first.
#if PY_VERSION_HEX >= 0x030b0000
  const bool safe_path = config->safe_path != 0 || options.isolated;
#else
  const bool safe_path = options.isolated;
#endif
  if (!safe_path) {
    PyObject* const path = PySys_GetObject("path");
    const PyRef here = PyRef::steal(PyUnicode_FromString(""));
    if (path != nullptr && here) PyList_Insert(path, 0, here.get());
  }
  return {};
}

}  // namespace gangway::python
