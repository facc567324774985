#include <pybind11/stl.h>

#include <algorithm>
#include <mutex>

#include "python/bindings/gateway.hpp"
#include "python/bindings/interruptible.hpp"
#include "python/common/exceptions.hpp"

namespace gangway::python {

namespace {

// The live ones; touched with the GIL.
std::vector<std::weak_ptr<Group>>& groups() {
  static auto* const all = new std::vector<std::weak_ptr<Group>>;
  return *all;
}

// Gateways that nobody waits for any more when they have started must not stay.
class Start {
 public:
  void made(std::vector<Gateway> gateways) {
    const std::lock_guard lock(mutex_);
    gateways_ = std::move(gateways);
    if (abandoned_) end();
  }
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    end();
  }

 private:
  void end() {
    for (Gateway& gateway : gateways_) gateway.exit();
  }

  std::mutex mutex_;
  std::vector<Gateway> gateways_;
  bool abandoned_ = false;
};

PyRef python_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (...) {
    translate_exception();
  }
  return take_exception();
}

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
      start->made({made});
      return made;
    });
    return std::make_unique<PyGateway>(std::move(gateway), std::move(spec_object));
  } catch (const PythonError&) {
    start->abandon();
    throw;
  }
}

py::list PyGroup::start_each(const std::vector<std::string>& specs, const py::list& spec_objects, std::size_t fanout) {
  const auto start = std::make_shared<Start>();
  std::vector<Started> all;
  try {
    all = run_interruptibly([group = group_, specs, fanout, start] {
      std::vector<Started> started = group->start_each({specs.begin(), specs.end()}, fanout);
      std::vector<Gateway> gateways;
      for (const Started& one : started) gateways.push_back(one.gateway);
      start->made(std::move(gateways));
      return started;
    });
  } catch (const PythonError&) {
    start->abandon();
    throw;
  }
  py::list result;
  for (std::size_t at = 0; at < all.size(); ++at) {
    if (all[at].error) {
      result.append(py::make_tuple(py::none(), py::none(), object_of(python_error(all[at].error))));
      continue;
    }
    const auto via = all[at].gateway.spec().via();
    result.append(
        py::make_tuple(std::make_unique<PyGateway>(std::move(all[at].gateway), spec_objects[at]), via, py::none()));
  }
  return result;
}

std::pair<std::vector<std::string>, std::vector<std::string>> PyGroup::terminate(const py::object& timeout) {
  TerminateReport report =
      run_interruptibly([group = group_, limit = timeout_of(timeout.ptr())] { return group->terminate(limit); });
  return {std::move(report.killed), std::move(report.survivors)};
}

void PyGroup::terminate_all() {
  const auto all = groups();
  const WithoutGil released;
  for (const auto& weak : all)
    if (const auto group = weak.lock()) (void)group->terminate(std::chrono::seconds(1));
}

}  // namespace gangway::python
