// The extension module gangway._gangway.
#include "python/bindings/gateway.hpp"

#include <pybind11/stl.h>

#include <gangway/limits.hpp>

#include "gateways/agent_path.hpp"
#include "python/bindings/channel_operations.hpp"
#include "python/bindings/dump.hpp"
#include "python/bindings/handoff.hpp"
#include "python/bindings/interruptible.hpp"
#include "python/bindings/operation.hpp"
#include "python/bindings/port.hpp"
#include "python/common/channel_methods.hpp"
#include "python/common/python_callback.hpp"

namespace gangway::python {

namespace {

// --- what a controller's channels have beyond an agent's

PyObject* try_send(PyObject* object, PyObject* item) {
  return channel_call(object, [&](ChannelObject& self) {
    EncodedObject encoded(*self.side);
    encoded.encode(item);
    bool sent = false;
    try {
      sent = self.connection().try_send(self.state(), encoded.item());
    } catch (const DumpError&) {
      throw;
    } catch (const Error&) {
      cannot_send(object);
    }
    return PyBool_FromLong(sent);
  });
}

PyObject* interrupt(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return channel_call(object, [&](ChannelObject& self) {
    PyObject* const timeout = only_argument("interrupt", "timeout", args, count, names);
    const detail::Deadline deadline = deadline_of(timeout);
    const PyRef alive = PyRef::share(object);
    self.connection().interrupt(self.state());
    if (timeout == Py_None) return PyBool_FromLong(1);
    bool over = false;
    (void)wait_in_slices(deadline, [&](detail::Deadline slice) {
      over = self.connection().wait_over(self.state(), slice);
      return over || self.connection().is_closed(*self.state());
    });
    return PyBool_FromLong(over);
  });
}

PyMethodDef methods[] = {
    {"try_send", try_send, METH_O, "Sends only if that needs no waiting: whether it did."},
    {"interrupt", fast(interrupt), METH_FASTCALL | METH_KEYWORDS,
     "Raises KeyboardInterrupt in the channel's task. With a timeout: whether the task was over in time."},
    {nullptr, nullptr, 0, nullptr},
};

// --- the module

void set_errors(const py::dict& classes) {
  const auto set = [&](const char* name, PyObject*& to) {
    py::object given = classes[name];
    if (!PyExceptionClass_Check(given.ptr())) throw_format(PyExc_TypeError, "%R is no exception class", given.ptr());
    Py_XDECREF(std::exchange(to, given.release().ptr()));
  };
  set("RemoteError", error_classes().remote_error);
  set("TimeoutError", error_classes().timeout_error);
  set("DumpError", error_classes().dump_error);
  set("LoadError", error_classes().load_error);
  set("HostNotFound", error_classes().host_not_found);
}

// Until the package gives its own.
void set_default_errors() {
  const auto share = [](PyObject* type) { return PyRef::share(type).release(); };
  error_classes() = {.remote_error = share(PyExc_RuntimeError),
                     .timeout_error = share(PyExc_TimeoutError),
                     .dump_error = share(PyExc_ValueError),
                     .load_error = share(PyExc_ValueError),
                     .host_not_found = share(PyExc_OSError)};
}

// So long callbacks that are under way may take when the interpreter ends.
constexpr std::chrono::seconds callback_grace{1};

// While threads may still take the GIL.
void at_exit() {
  PyGroup::terminate_all();
  Handoff::end_all();
  end_callbacks(callback_grace);
}

void translate(std::exception_ptr exception) {
  try {
    if (exception) std::rethrow_exception(exception);
  } catch (const PythonError&) {
  } catch (const Error&) {
    translate_exception();
  }
}

std::optional<py::bytes> native_agent_path() {
  try {
    return py::bytes(detail::native_agent_path());
  } catch (const StartError&) {
    return {};
  }
}

void define_gateway(py::module_& module) {
  using namespace py::literals;
  py::class_<PyGateway>(module, "Gateway", "An interpreter that was started somewhere.")
      .def_property_readonly("id", &PyGateway::id)
      .def_property_readonly("spec", &PyGateway::spec, "The object that was given to start().")
      .def("remote_exec", &PyGateway::remote_exec, "source"_a, "file"_a = py::none(), "function"_a = py::none(),
           "kwargs"_a = py::none(), "Runs the source as it is, or function(channel, **kwargs) of it; its Channel.")
      .def("newchannel", &PyGateway::newchannel, "A channel that no task has yet.")
      .def("remote_status", &PyGateway::remote_status, "timeout"_a = py::none(),
           "What the agent says of itself, as a dict (wire.md, section 7).")
      .def("stacks", &PyGateway::stacks, "timeout"_a = py::none(), "The Python stacks of all its threads, as text.")
      .def("start_remote_exec", &PyGateway::start_remote_exec, "source"_a, "file"_a = py::none(),
           "function"_a = py::none(), "kwargs"_a = py::none(),
           "The Channel, and an Operation or, when the task was asked for at once, None.")
      .def("start_remote_status", &PyGateway::start_remote_status, "timeout"_a = py::none(), "As an Operation.")
      .def("start_stacks", &PyGateway::start_stacks, "timeout"_a = py::none(), "As an Operation.")
      .def("start_join", &PyGateway::start_join, "timeout"_a = py::none(), "As an Operation.")
      .def("start_ready", &PyGateway::start_ready, "An Operation: the handshake of a gateway that was launched.")
      .def("wait_ready", &PyGateway::wait_ready, "Waits for that, up to the connect_timeout.")
      .def("connect_timeout", &PyGateway::connect_timeout, "Seconds that the handshake may take.")
      .def("exit", &PyGateway::exit, "Asks the agent to end, without waiting.")
      .def("kill", &PyGateway::kill, "Ends the agent's process group with SIGKILL.")
      .def("join", &PyGateway::join, "timeout"_a = py::none(), "Until the process is gone; False: not in time.")
      .def("hasreceiver", &PyGateway::hasreceiver, "Whether the connection lives.")
      .def("death", &PyGateway::death, "How the process ended, as far as that is known by now.")
      .def("info", &PyGateway::info, "Who answers: agent, version, python, implementation, executable, pid.")
      .def("unresponsive", &PyGateway::unresponsive, "For how many seconds the agent has not answered, or None.")
      .def("reconfigure", &PyGateway::reconfigure, "py2str_as_py3str"_a = true, "py3str_as_py2str"_a = false,
           "How strings arrive on channels that are opened afterwards.")
      .def("live_channels", &PyGateway::live_channels, "The Channel objects that somebody holds.")
      .def("set_output", &PyGateway::set_output, "function"_a.none(true),
           "function(channel, stream, text) for what tasks print, by lines; the id is 0 when it is not known, the\n"
           "stream 'stdout' or 'stderr'. None: output is dropped.")
      .def(
          "set_channel_class",
          [](PyGateway& self, const py::object& type) { self.side().set_channel_class(type.ptr()); },
          "What channels are from now on: a subclass of Channel.")
      .def(
          "set_owner", [](PyGateway& self, const py::object& owner) { self.side().set_owner(owner.ptr()); },
          "What channels have as `gateway` from now on. It is not kept alive.")
      .def("__repr__", &PyGateway::repr);
}

void define_group(py::module_& module) {
  using namespace py::literals;
  py::class_<PyGroup>(module, "Group", "Gateways that are started and ended together.")
      .def(py::init<>())
      .def("start", &PyGroup::start, "spec"_a, "spec_object"_a = py::none(), "keys"_a = py::none(),
           "Starts a gateway and waits for its handshake. `keys`, when they are not those of the text any more:\n"
           "key -> str or True, 'env:NAME' among them.")
      .def("start_all", &PyGroup::start_all, "starts"_a,
           "The same for several (spec, spec_object, keys) at once. If one fails, all are ended again.")
      .def("set_native_agent", &PyGroup::set_native_agent, "command"_a, "sys_path"_a, "interpreter"_a,
           "What popen without python= runs from now on, with which sys.path, and what green models have the\n"
           "portable agent of; bytes.")
      .def("start_each", &PyGroup::start_each, "starts"_a, "fanout"_a = 0,
           "Those that fail do not end the others; with a fanout as a tree: of each (gateway, via, None) or\n"
           "(None, None, error).")
      .def("terminate", &PyGroup::terminate, "timeout"_a = py::none(),
           "Ends all gateways: asks, waits up to the timeout, kills. The ids of those that were killed, and of\n"
           "those that are still there.")
      .def("start_launch", &PyGroup::start_launch, "spec"_a, "spec_object"_a, "keys"_a = py::none(),
           "An Operation: starts a gateway that is not ready yet, see Gateway.start_ready().")
      .def("start_fan_out", &PyGroup::start_fan_out, "starts"_a, "fanout"_a, "start_each() as an Operation.")
      .def("start_terminate", &PyGroup::start_terminate, "timeout"_a = py::none(), "As an Operation.");
}

void define_handoff(py::module_& module) {
  py::class_<Handoff>(module, "Handoff", "A thread waits until another one has done something for it.")
      .def(py::init<>())
      .def("wait", &Handoff::wait, "Until release(); False: the interpreter ends.")
      .def("release", &Handoff::release, "Ends the wait.");
}

}  // namespace

PYBIND11_MODULE(_gangway, module) {
  module.doc() = "The C++ side of the package gangway.";
  py::register_exception_translator(translate);
  set_default_errors();
  try {
    prepare_channel_type("gangway._gangway.Channel", methods, nullptr);
    add_methods(channel_type(), channel_operation_methods);
    module.add_object("Operation", reinterpret_cast<PyObject*>(&operation_type()));
    module.add_object("Port", reinterpret_cast<PyObject*>(&port_type()));
    module.add_object("NOTHING", nothing());
  } catch (const PythonError&) {
    throw py::error_already_set();
  }
  module.add_object("Channel", reinterpret_cast<PyObject*>(&channel_type()));
  if (PyModule_AddFunctions(module.ptr(), dump_functions) != 0) throw py::error_already_set();
  define_gateway(module);
  define_group(module);
  define_handoff(module);
  module.def("set_errors", set_errors, py::arg("classes"),
             "The exception classes that are raised from now on: RemoteError, TimeoutError, DumpError, LoadError,\n"
             "HostNotFound, by name.");
  module.def("native_agent_path", native_agent_path, "Where gangway-agent is, or None.");
  module.attr("PARALLEL_STARTS") = limits::parallel_starts;
  py::module_::import("atexit").attr("register")(py::cpp_function(at_exit));
}

}  // namespace gangway::python
