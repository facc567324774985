// _gangway.Gateway and _gangway.Group: the C++ handles for the Python package, which wraps them.
// Thread rule: the GIL is held; whatever waits releases it.
#pragma once

#include "python/common/py_ref.hpp"

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gangway/group.hpp>

#include "core/fork_guard.hpp"
#include "python/bindings/gateway_side.hpp"

namespace gangway::python {

namespace py = pybind11;

class PyGateway {
 public:
  PyGateway(Gateway gateway, py::object spec);
  PyGateway(const PyGateway&) = delete;
  PyGateway& operator=(const PyGateway&) = delete;
  ~PyGateway();

  [[nodiscard]] py::object remote_exec(py::object source, py::object file, py::object function, py::object kwargs);
  [[nodiscard]] py::object newchannel();
  [[nodiscard]] py::object remote_status(const py::object& timeout);
  [[nodiscard]] py::object stacks(const py::object& timeout);
  [[nodiscard]] bool join(const py::object& timeout);
  // The same as operations, of `self` where that is given.
  /// The channel, and an operation unless the task was asked for at once.
  [[nodiscard]] py::tuple start_remote_exec(py::object source, py::object file, py::object function, py::object kwargs);
  [[nodiscard]] static py::object start_ready(const py::object& self);
  [[nodiscard]] static py::object start_remote_status(const py::object& self, const py::object& timeout);
  [[nodiscard]] static py::object start_stacks(const py::object& self, const py::object& timeout);
  [[nodiscard]] static py::object start_join(const py::object& self, const py::object& timeout);
  /// Until the handshake; throws what went wrong.
  void wait_ready();
  /// Seconds that the start may take.
  [[nodiscard]] double connect_timeout() const;
  [[nodiscard]] py::dict death() const;
  [[nodiscard]] py::dict info() const;
  [[nodiscard]] std::optional<double> unresponsive() const;
  [[nodiscard]] std::vector<py::object> live_channels() const;
  void exit();
  void kill();
  void reconfigure(bool py2str_as_py3str, bool py3str_as_py2str);
  void set_output(const py::object& function);

  [[nodiscard]] const std::string& id() const { return gateway_.id(); }
  [[nodiscard]] bool hasreceiver() const { return gateway_.hasreceiver(); }
  [[nodiscard]] py::object spec() const { return spec_; }
  [[nodiscard]] GatewaySide& side() const { return *side_; }
  [[nodiscard]] std::string repr() const;

 private:
  void encode_task(EncodedObject& encoded, const py::object& source, const py::object& file, const py::object& function,
                   const py::object& kwargs);
  [[nodiscard]] py::object channel(const ChannelPtr& state);

  Gateway gateway_;
  std::shared_ptr<GatewaySide> side_;
  const py::object spec_;
  const detail::ForkGuard fork_;
};

/// Of a group that is no longer used the gateways are terminated, with a timeout of one second.
class PyGroup {
 public:
  PyGroup();
  PyGroup(const PyGroup&) = delete;
  PyGroup& operator=(const PyGroup&) = delete;
  ~PyGroup();

  /// What start() takes for one gateway: the spec as text, the object that is to be its `spec`, and
  /// its keys if they are not those of the text any more: key -> str or True, "env:NAME" among them.
  using Start = std::tuple<std::string, py::object, py::object>;

  /// All at once, and in order: limits::parallel_starts at a time.
  [[nodiscard]] std::vector<std::unique_ptr<PyGateway>> start_all(const std::vector<Start>& starts);
  [[nodiscard]] std::unique_ptr<PyGateway> start(std::string spec, py::object spec_object, py::object keys);
  /// For those that are started from now on: the fields of NativeAgent, as bytes.
  void set_native_agent(std::vector<std::string> command, const std::vector<std::string>& sys_path,
                        std::vector<std::string> interpreter);
  /// Of each the gateway, through which it goes, and the error: (gateway, via, None) or (None, None, error).
  [[nodiscard]] py::list start_each(const std::vector<Start>& starts, std::size_t fanout);
  [[nodiscard]] std::pair<std::vector<std::string>, std::vector<std::string>> terminate(const py::object& timeout);
  /// As operations. A gateway that was launched has its handshake before it: PyGateway::start_ready().
  [[nodiscard]] py::object start_launch(const std::string& text, const py::object& spec_object, const py::object& keys);
  [[nodiscard]] py::object start_fan_out(const std::vector<Start>& starts, std::size_t fanout);
  [[nodiscard]] static py::object start_terminate(const py::object& self, const py::object& timeout);

  /// At the end of the interpreter.
  static void terminate_all();

 private:
  std::shared_ptr<Group> group_;
  const detail::ForkGuard fork_;
};

/// Takes over what is owned by a PyRef.
[[nodiscard]] inline py::object object_of(PyRef reference) {
  return py::reinterpret_steal<py::object>(reference.release());
}

}  // namespace gangway::python
