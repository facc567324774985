#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "python/bindings/gateway.hpp"
#include "python/bindings/interruptible.hpp"

namespace gangway::python {

namespace {

// The live ones; touched with the GIL.
std::vector<std::weak_ptr<Group>>& groups() {
  static auto* const all = new std::vector<std::weak_ptr<Group>>;
  return *all;
}

// Large items into memory that was used before: for 1 MiB the fresh pages took 0.7 ms of processor time, the
// rest 0.15. The C library gives no block back to the system, and keeps twice that, up to the largest one that
// it has seen freed. So programs with large items keep 32 MiB; an environment that says otherwise
// (mallopt(3)) is obeyed.
void keep_freed_memory() {
  static const bool done = [] {
    void* volatile block = std::malloc(std::size_t{16} << 20);  // no page of it is touched
    std::free(block);
    return true;
  }();
  (void)done;
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
  keep_freed_memory();
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

void PyGroup::terminate_all() {
  const auto all = groups();
  const WithoutGil released;
  for (const auto& weak : all)
    if (const auto group = weak.lock()) (void)group->terminate(std::chrono::seconds(1));
}

}  // namespace gangway::python
