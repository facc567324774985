#include <pybind11/stl.h>

#include <algorithm>
#include <mutex>

#include "gateways/gateway_access.hpp"
#include "python/bindings/call_operation.hpp"
#include "python/bindings/gateway.hpp"
#include "python/bindings/interruptible.hpp"

namespace gangway::python {

namespace {

// The live ones; touched with the GIL.
std::vector<std::weak_ptr<Group>>& groups() {
  static auto* const all = new std::vector<std::weak_ptr<Group>>;
  return *all;
}

// A gateway that nobody waits for any more when it has started must not stay.
class Start {
 public:
  void made(Gateway gateway) {
    const std::lock_guard lock(mutex_);
    gateway_ = std::move(gateway);
    if (abandoned_) gateway_.exit();
  }
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    gateway_.exit();
  }

 private:
  std::mutex mutex_;
  Gateway gateway_;
  bool abandoned_ = false;
};

// The same for one that nobody has waited for.
class Launched {
 public:
  explicit Launched(Gateway gateway) : gateway_(std::move(gateway)) {}
  Launched(Launched&& other) noexcept : gateway_(std::exchange(other.gateway_, {})) {}
  ~Launched() { gateway_.exit(); }
  [[nodiscard]] Gateway take() { return std::exchange(gateway_, {}); }

 private:
  Gateway gateway_;
};

}  // namespace

PyGroup::PyGroup() : group_(std::make_shared<Group>()) {
  std::erase_if(groups(), [](const auto& group) { return group.expired(); });
  groups().push_back(group_);
}

PyGroup::~PyGroup() {
  if (fork_.in_child()) {
    new std::shared_ptr<Group>(std::move(group_));  // a copy of the parent's
    return;
  }
  const WithoutGil released;
  group_.reset();
}

std::unique_ptr<PyGateway> PyGroup::start(const std::string& spec, py::object spec_object) {
  const auto start = std::make_shared<Start>();
  try {
    Gateway gateway = run_interruptibly([group = group_, spec, start] {
      Gateway made = group->makegateway(spec);
      start->made(made);
      return made;
    });
    return std::make_unique<PyGateway>(std::move(gateway), std::move(spec_object));
  } catch (const PythonError&) {
    start->abandon();
    throw;
  }
}

std::pair<std::vector<std::string>, std::vector<std::string>> PyGroup::terminate(const py::object& timeout) {
  TerminateReport report =
      run_interruptibly([group = group_, limit = timeout_of(timeout.ptr())] { return group->terminate(limit); });
  return {std::move(report.killed), std::move(report.survivors)};
}

py::object PyGroup::start_launch(const std::string& spec, const py::object& spec_object) {
  return object_of(call_operation(
      spec_object.ptr(),
      [group = group_, spec] { return Launched(detail::GatewayAccess::launch(*group, XSpec(spec))); },
      [](Launched launched, PyObject* subject) {
        auto gateway = std::make_unique<PyGateway>(launched.take(), py::reinterpret_borrow<py::object>(subject));
        return PyRef::steal(py::cast(std::move(gateway)).release().ptr());
      }));
}

py::object PyGroup::start_terminate(const py::object& self, const py::object& timeout) {
  return object_of(call_operation(
      self.ptr(),
      [group = self.cast<PyGroup&>().group_, limit = timeout_of(timeout.ptr())] { return group->terminate(limit); },
      [](TerminateReport report, PyObject*) {
        return PyRef::steal(py::cast(std::pair(std::move(report.killed), std::move(report.survivors))).release().ptr());
      }));
}

void PyGroup::terminate_all() {
  const auto all = groups();
  const WithoutGil released;
  for (const auto& weak : all)
    if (const auto group = weak.lock()) (void)group->terminate(std::chrono::seconds(1));
}

}  // namespace gangway::python
