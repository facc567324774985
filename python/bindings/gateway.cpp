#include "python/bindings/gateway.hpp"

#include <pybind11/stl.h>

#include <sstream>

#include "core/item_codec.hpp"
#include "core/pickle_decoder.hpp"
#include "gateways/gateway_access.hpp"
#include "python/bindings/call_operation.hpp"
#include "python/bindings/channel_operations.hpp"
#include "python/bindings/interruptible.hpp"
#include "python/common/channel_methods.hpp"
#include "python/common/object_builder.hpp"
#include "python/common/python_callback.hpp"
#include "python/common/release.hpp"

namespace gangway::python {

namespace {

Connection& connection_of(const Gateway& gateway) { return detail::GatewayAccess::state(gateway).connection(); }

// A value as an object: what goes over the wire as the one comes out as the other.
py::object object_of_value(const Value& value, Side& side) {
  ObjectBuilder builder(side);
  const Bytes pickle = detail::encode_pickle(value);
  return object_of(detail::PickleDecoder<ObjectBuilder>(builder, pickle.span()).decode());
}

py::object text_object(const std::string& text) {
  return object_of(
      PyRef::check(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace")));
}

// A function of the user's that other threads hold.
class OutputFunction {
 public:
  explicit OutputFunction(PyObject* function)
      : function_((Py_INCREF(function), function), [](PyObject* object) { release_later(object); }) {}

  void operator()(const Output& output) const {
    const CallbackGil gil;
    if (!gil) return;
    try {
      const py::int_ channel(output.channel);
      const py::str stream(output.stream == OutputStream::out ? "stdout" : "stderr");
      const py::object text = text_object(output.text);
      call_back(function_.get(), {channel.ptr(), stream.ptr(), text.ptr()});
    } catch (const PythonError&) {
      PyErr_WriteUnraisable(function_.get());
    }
  }

 private:
  std::shared_ptr<PyObject> function_;
};

// The wait for the handshake, which needs no thread.
class Ready final : public Operation, public detail::ChannelWaiter {
 public:
  explicit Ready(Gateway gateway) : gateway_(std::move(gateway)) {}

  void wake() override { over(); }
  void start() override { connection_of(gateway_).add_ready_waiter(*this); }
  void cancel() noexcept override { (void)connection_of(gateway_).remove_ready_waiter(*this); }
  PyRef result(PyObject*) override {
    detail::GatewayAccess::state(gateway_).wait_ready();
    return PyRef::share(Py_None);
  }

 private:
  const Gateway gateway_;
};

PyRef ref_of(py::object object) { return PyRef::steal(object.release().ptr()); }

}  // namespace

PyGateway::PyGateway(Gateway gateway, py::object spec)
    : gateway_(std::move(gateway)),
      side_(std::make_shared<GatewaySide>(connection_of(gateway_).shared_from_this())),
      spec_(std::move(spec)) {}

// In a forked child it is a copy of the parent's, which still uses what is behind it.
PyGateway::~PyGateway() {
  if (!fork_.in_child()) return;
  detail::abandon(gateway_);
  detail::abandon(side_);
}

py::object PyGateway::channel(const ChannelPtr& state) {
  return object_of(side_->wrap(connection_of(gateway_).handle_of(state)));
}

void PyGateway::encode_task(EncodedObject& encoded, const py::object& source, const py::object& file,
                            const py::object& function, const py::object& kwargs) {
  side_->check_process();
  release_now();
  const bool has_kwargs = !kwargs.is_none() && py::len(kwargs) > 0;
  if (has_kwargs && function.is_none()) throw py::type_error("keyword arguments are for functions only");
  py::dict request;
  request["source"] = py::str(source);
  if (!file.is_none()) request["file"] = py::str(file);
  if (!function.is_none()) request["function"] = py::str(function);
  if (has_kwargs) request["kwargs"] = kwargs;
  encoded.encode_exec(request.ptr());
}

py::object PyGateway::remote_exec(py::object source, py::object file, py::object function, py::object kwargs) {
  EncodedObject encoded(*side_);
  encode_task(encoded, source, file, function, kwargs);
  const ChannelPtr state = connection_of(gateway_).open_channel();
  py::object made = channel(state);
  send_encoded(*side_, state, encoded);
  return made;
}

py::tuple PyGateway::start_remote_exec(py::object source, py::object file, py::object function, py::object kwargs) {
  EncodedObject encoded(*side_);
  encode_task(encoded, source, file, function, kwargs);
  py::object made = channel(connection_of(gateway_).open_channel());
  const py::object operation = object_of(start_encoded(made.ptr(), encoded));
  return py::make_tuple(made, operation);
}

py::object PyGateway::newchannel() {
  side_->check_process();
  return channel(connection_of(gateway_).open_channel());
}

py::object PyGateway::remote_status(const py::object& timeout) {
  const RemoteStatus status = run_interruptibly(
      [gateway = gateway_, limit = timeout_of(timeout.ptr())]() mutable { return gateway.remote_status(limit); });
  return object_of_value(status.details, *side_);
}

py::object PyGateway::stacks(const py::object& timeout) {
  return text_object(run_interruptibly(
      [gateway = gateway_, limit = timeout_of(timeout.ptr())]() mutable { return gateway.stacks(limit); }));
}

py::object PyGateway::start_ready(const py::object& self) {
  return object_of(OperationObject::make(std::make_shared<Ready>(self.cast<PyGateway&>().gateway_), self.ptr()));
}

py::object PyGateway::start_remote_status(const py::object& self, const py::object& timeout) {
  const auto& gateway = self.cast<PyGateway&>();
  return object_of(call_operation(
      self.ptr(),
      [gateway = gateway.gateway_, limit = timeout_of(timeout.ptr())]() mutable {
        return gateway.remote_status(limit).details;
      },
      [side = gateway.side_](const Value& details, PyObject*) { return ref_of(object_of_value(details, *side)); }));
}

py::object PyGateway::start_stacks(const py::object& self, const py::object& timeout) {
  return object_of(call_operation(
      self.ptr(),
      [gateway = self.cast<PyGateway&>().gateway_, limit = timeout_of(timeout.ptr())]() mutable {
        return gateway.stacks(limit);
      },
      [](const std::string& text, PyObject*) { return ref_of(text_object(text)); }));
}

py::object PyGateway::start_join(const py::object& self, const py::object& timeout) {
  return object_of(call_operation(
      self.ptr(),
      [gateway = self.cast<PyGateway&>().gateway_, deadline = deadline_of(timeout.ptr())] {
        return detail::GatewayAccess::state(gateway).wait_gone(deadline);
      },
      [](bool gone, PyObject*) { return PyRef::share(gone ? Py_True : Py_False); }));
}

void PyGateway::wait_ready() {
  auto& state = detail::GatewayAccess::state(gateway_);
  const WithoutGil released;
  state.wait_ready();
}

double PyGateway::connect_timeout() const {
  return std::chrono::duration<double>(gateway_.spec().connect_timeout()).count();
}

bool PyGateway::join(const py::object& timeout) {
  side_->check_process();
  auto& state = detail::GatewayAccess::state(gateway_);
  return wait_in_slices(deadline_of(timeout.ptr()),
                        [&](detail::Deadline deadline) { return state.wait_gone(deadline); });
}

py::dict PyGateway::death() const {
  const DeathRecord record = gateway_.death();
  py::dict death;
  death["exit_status"] = record.exit_status;
  death["signal"] = record.signal;
  death["stderr_tail"] = text_object(record.stderr_tail);
  death["killed_here"] = record.killed_here;
  death["out_of_memory"] = record.out_of_memory;
  death["summary"] = text_object(record.summary());
  return death;
}

py::dict PyGateway::info() const {
  const AgentInfo agent = gateway_.info();
  py::dict info;
  info["agent"] = agent.agent;
  info["version"] = agent.version;
  info["python"] = agent.python;
  info["implementation"] = agent.implementation;
  info["executable"] = text_object(agent.executable);
  info["pid"] = agent.pid;
  return info;
}

std::optional<double> PyGateway::unresponsive() const {
  const auto silence = gateway_.unresponsive();
  if (!silence) return {};
  return std::chrono::duration<double>(*silence).count();
}

std::vector<py::object> PyGateway::live_channels() const {
  std::vector<py::object> all;
  for (PyRef& object : side_->channels()) all.push_back(object_of(std::move(object)));
  return all;
}

void PyGateway::exit() {
  const WithoutGil released;
  gateway_.exit();
}

void PyGateway::kill() {
  const WithoutGil released;
  gateway_.kill();
}

void PyGateway::reconfigure(bool py2str_as_py3str, bool py3str_as_py2str) {
  gateway_.reconfigure(py2str_as_py3str, py3str_as_py2str);
}

void PyGateway::set_output(const py::object& function) {
  if (function.is_none()) return gateway_.set_output({});
  if (PyCallable_Check(function.ptr()) == 0) throw_format(PyExc_TypeError, "%R is not callable", function.ptr());
  gateway_.set_output(OutputFunction(function.ptr()));
}

std::string PyGateway::repr() const {
  std::ostringstream out;
  out << gateway_;
  return out.str();
}

}  // namespace gangway::python
