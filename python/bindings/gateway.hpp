// _gangway.Gateway and _gangway.Group: the C++ handles for the Python package, which wraps them.
// Thread rule: the GIL is held; whatever waits releases it.
#pragma once

#include "python/common/py_ref.hpp"

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
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

  [[nodiscard]] std::unique_ptr<PyGateway> start(const std::string& spec, py::object spec_object);
  /// Of each the gateway, through which it goes, and the error: (gateway, via, None) or (None, None, error).
  [[nodiscard]] py::list start_each(const std::vector<std::string>& specs, const py::list& spec_objects,
                                    std::size_t fanout);
  [[nodiscard]] std::pair<std::vector<std::string>, std::vector<std::string>> terminate(const py::object& timeout);

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
