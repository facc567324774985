#include "python/native/module.hpp"

#include <marshal.h>
#include <unistd.h>

#include <cstring>

#include "python/common/channel_object.hpp"
#include "python/common/exceptions.hpp"
#include "python/common/gil.hpp"
#include "python/common/object_builder.hpp"
#include "python/common/python_callback.hpp"
#include "python/native/blocking.hpp"
#include "python/native/frozen.hpp"

namespace gangway::python {

namespace {

Agent& agent() { return *module().agent; }

// Jobs that were put back for the main thread.
PyObject* main_jobs = nullptr;

template <class Body>
PyObject* guarded(Body body) noexcept {
  return translated([&] {
    module().side->check_process();
    return body().release();
  });
}

// How the task is called in a status; what is wrong with the request is said by execute().
std::string name_of_task(PyObject* request) {
  const auto text = [&](const char* key) {
    PyObject* const found = PyDict_Check(request) ? PyDict_GetItemString(request, key) : nullptr;
    return found != nullptr && PyUnicode_Check(found) ? text_of(found) : std::string();
  };
  return task_name(text("file"), text("function"));
}

// The (channel, request) of a job; a request that cannot be read fails its channel: null then.
PyRef job_object(Agent::Job job) {
  const PyRef channel = module().side->wrap(agent().connection().handle_of(job.channel));
  const std::uint32_t id = job.channel->id;
  try {
    detail::InItem item{detail::ItemKind::exec, 0, std::move(job.request), 0};
    const PyRef request = decode_object(std::move(item), *module().side);
    agent().set_source(id, name_of_task(request.get()));
    return PyRef::check(PyTuple_Pack(2, channel.get(), request.get()));
  } catch (const LoadError& error) {
    PyRef::check(PyObject_CallMethod(channel.get(), "_finish", "s", error.what()));
    return {};
  }
}

PyRef next_main_job() {
  struct Idle {
    explicit Idle(Agent::Wait& wait) { agent().set_idle(&wait); }
    ~Idle() { agent().set_idle(nullptr); }
  };
  AgentBlocking blocking(agent());
  const Idle idle(blocking.wait());
  for (;;) {
    blocking.check();
    if (PyList_GET_SIZE(main_jobs) > 0) {
      PyRef job = PyRef::share(PyList_GET_ITEM(main_jobs, 0));
      check_status(PySequence_DelItem(main_jobs, 0));
      return job;
    }
    if (auto job = agent().take_job(Agent::Taker::main)) {
      agent().connection().runtime()->keep_going();  // while user code runs
      if (PyRef object = job_object(std::move(*job))) return object;
      continue;
    }
    if (agent().lost()) return PyRef::share(Py_None);
    const WithoutGil released;
    (void)agent().connection().runtime()->wait(blocking.waiter(), {});
  }
}

PyRef next_dispatched_job() {
  for (;;) {
    Agent::Event event{};
    {
      const WithoutGil released;
      event = agent().next_event();
    }
    switch (event) {
      case Agent::Event::ended: return PyRef::share(Py_None);
      case Agent::Event::interrupts: {
        const std::vector<ThreadId> threads = agent().take_thread_interrupts();
        for (const ThreadId thread : threads) (void)PyThreadState_SetAsyncExc(thread, PyExc_KeyboardInterrupt);
        for (const ThreadId thread : threads) PyRef::check(PyObject_CallFunction(function("wake"), "k", thread));
        break;
      }
      case Agent::Event::job:
        if (auto job = agent().take_job(Agent::Taker::dispatcher))
          if (PyRef object = job_object(std::move(*job))) return object;
        break;
    }
  }
}

PyObject* next_job(PyObject*, PyObject* main) {
  return guarded([&] { return main == Py_True ? next_main_job() : next_dispatched_job(); });
}

PyObject* push_job(PyObject*, PyObject* job) {
  return guarded([&] {
    check_status(PyList_Append(main_jobs, job));
    agent().wake_idle();
    return PyRef::share(Py_None);
  });
}

PyObject* new_channel(PyObject*, PyObject*) {
  return guarded([&] {
    try {
      Connection& connection = agent().connection();
      return module().side->wrap(connection.handle_of(connection.open_channel()));
    } catch (const Error& error) {
      const auto lost = agent().lost();
      const std::string reason = lost ? *lost
                                 : error.code() == errc::too_many_channels
                                     ? std::to_string(agent().hello().settings.own_channels) + " are open"
                                     : error.what();
      PyErr_Format(PyExc_OSError, "no new channel: %s", reason.c_str());
      throw PythonError();
    }
  });
}

PyObject* channel_by_id(PyObject*, PyObject* number) {
  return guarded([&] {
    const unsigned long id = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred() != nullptr) throw PythonError();
    return module().side->channel(static_cast<std::uint32_t>(id));
  });
}

PyObject* join(PyObject*, PyObject* timeout) {
  return guarded([&] {
    const detail::Deadline deadline = deadline_of(timeout);
    AgentBlocking blocking(agent());
    for (bool in_time = true; in_time && !agent().lost();) {
      blocking.check();
      if (agent().lost()) break;
      const WithoutGil released;
      in_time = agent().connection().runtime()->wait(blocking.waiter(), deadline);
    }
    return PyRef::share(Py_None);
  });
}

// Callbacks that are stuck are cut off with the rest.
constexpr std::chrono::seconds callback_grace{5};

PyObject* join_all_callbacks(PyObject*, PyObject*) {
  return guarded([] {
    join_callbacks(callback_grace);
    return PyRef::share(Py_None);
  });
}

PyObject* live_channels(PyObject*, PyObject*) {
  return guarded([] { return PyRef::check(PyLong_FromSize_t(agent().connection().live_channels())); });
}

PyObject* lost_text(PyObject*, PyObject*) {
  return guarded([] {
    const auto lost = agent().lost();
    return lost ? PyRef::check(PyUnicode_FromString(lost->c_str())) : PyRef::share(Py_None);
  });
}

// What the builtin compile does to a str, without the 0.9 ms that it takes when it is first
// called, to make the types of ast.
PyObject* compile_source(PyObject*, PyObject* args) {
  PyObject *source = nullptr, *file = nullptr;
  if (PyArg_ParseTuple(args, "UU", &source, &file) == 0) return nullptr;
  Py_ssize_t size = 0;
  const char* const code = PyUnicode_AsUTF8AndSize(source, &size);
  if (code == nullptr) return nullptr;
  if (std::strlen(code) != static_cast<std::size_t>(size)) {
    PyErr_SetString(PyExc_ValueError, "source code string cannot contain null bytes");
    return nullptr;
  }
  PyCompilerFlags flags = {PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE, PY_MINOR_VERSION};
  return Py_CompileStringObject(code, file, Py_file_input, &flags, -1);
}

PyMethodDef functions[] = {
    {"compile_source", compile_source, METH_VARARGS, nullptr},
    {"next_job", next_job, METH_O, nullptr},
    {"push_job", push_job, METH_O, nullptr},
    {"new_channel", new_channel, METH_NOARGS, nullptr},
    {"channel_by_id", channel_by_id, METH_O, nullptr},
    {"join", join, METH_O, nullptr},
    {"join_callbacks", join_all_callbacks, METH_NOARGS, nullptr},
    {"live_channels", live_channels, METH_NOARGS, nullptr},
    {"lost_text", lost_text, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition() {
  PyModuleDef def = {PyModuleDef_HEAD_INIT, "_gangway", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};
  return def;
}

void set(const char* name, PyRef value) { check_status(PyDict_SetItemString(module().dict, name, value.get())); }

PyRef text(const std::string& from) {
  return PyRef::check(PyUnicode_DecodeUTF8(from.data(), static_cast<Py_ssize_t>(from.size()), "surrogateescape"));
}

void execute(std::string_view marshalled) {
  const PyRef code =
      PyRef::check(PyMarshal_ReadObjectFromString(marshalled.data(), static_cast<Py_ssize_t>(marshalled.size())));
  PyRef::check(PyEval_EvalCode(code.get(), module().dict, module().dict));
}

// What has nothing to do with a certain agent.
void prepare() {
  static PyModuleDef def = definition();
  PyObject* const object = PyModule_Create(&def);
  if (object == nullptr) throw PythonError();
  module().dict = PyModule_GetDict(object);
  check_status(PyDict_SetItemString(PyImport_GetModuleDict(), "_gangway", object));
  main_jobs = PyRef::check(PyList_New(0)).release();

  set("__builtins__", PyRef::share(PyEval_GetBuiltins()));
  execute(frozen_task);
  execute(frozen_sleep);
  execute(frozen_errors);
  execute(frozen_native);
  error_classes().remote_error = PyRef::share(function("RemoteError")).release();
  error_classes().timeout_error = PyRef::share(function("TimeoutError")).release();
  error_classes().dump_error = PyRef::share(function("DumpError")).release();
  error_classes().load_error = PyRef::share(function("LoadError")).release();
  prepare_agent_channels();
  set("Channel", PyRef::share(reinterpret_cast<PyObject*>(&channel_type())));
}

PyRef path_of_controller() {
  PyRef places = PyRef::check(PyList_New(0));
  for (const std::string& place : agent().hello().sys_path) {
    const PyRef name =
        PyRef::check(PyUnicode_DecodeFSDefaultAndSize(place.data(), static_cast<Py_ssize_t>(place.size())));
    check_status(PyList_Append(places.get(), name.get()));
  }
  return places;
}

// (channel, streams) for native.py; None: what tasks print is dropped.
PyRef output_request() {
  const auto& output = agent().hello().output;
  if (!output) return PyRef::share(Py_None);
  execute(frozen_output);
  const PyRef streams = PyRef::check(PyList_New(0));
  for (const std::string& stream : output->streams) check_status(PyList_Append(streams.get(), text(stream).get()));
  return PyRef::check(Py_BuildValue("(kO)", static_cast<unsigned long>(output->channel), streams.get()));
}

void run() {
  if (module().dict == nullptr) prepare();
  set("execmodel", text(agent().hello().execmodel));
  PyRef environment = PyRef::check(PyDict_New());
  for (const auto& [name, value] : agent().hello().env)
    check_status(PyDict_SetItem(environment.get(), text(name).get(), text(value).get()));
  set("environment", std::move(environment));
  set("sys_path", path_of_controller());
  set("output", output_request());
  module().gateway = PyRef::check(PyObject_CallFunctionObjArgs(function("Gateway"), text(agent().hello().id).get(),
                                                               text(agent().hello().execmodel).get(), nullptr))
                         .release();
  set("gateway", PyRef::share(module().gateway));

  agent().gil().interpreter_runs();
  PyRef::check(PyObject_CallNoArgs(function("main")));
}

}  // namespace

Module& module() noexcept {
  static Module* const shared = new Module;  // NOLINT(bugprone-unhandled-exception-at-new): at the start
  return *shared;
}

bool prepare_module() {
  try {
    prepare();
    return true;
  } catch (...) {
    translate_exception();
    return false;
  }
}

void run_module(std::shared_ptr<Agent> the_agent) {
  module().agent = std::move(the_agent);
  module().side = std::make_shared<AgentSide>(module().agent);
  try {
    run();
  } catch (...) {
    translate_exception();
  }
}

PyObject* function(const char* name) {
  PyObject* const object = PyDict_GetItemString(module().dict, name);
  if (object == nullptr) {
    PyErr_SetString(PyExc_NameError, name);
    throw PythonError();
  }
  return object;
}

PyObject* function(const char* name, std::string_view frozen) {
  if (PyDict_GetItemString(module().dict, name) == nullptr) execute(frozen);
  return function(name);
}

void leave_child(PyObject* text) {
  if (text != Py_None) PySys_FormatStderr("%S\n", text);
  PyObject* const leave = PyDict_GetItemString(module().dict, "leave");
  Py_XDECREF(PyObject_CallFunction(leave, "i", text == Py_None ? 0 : 1));
  ::_exit(1);
}

}  // namespace gangway::python
