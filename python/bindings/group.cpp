#include <pybind11/stl.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "gateways/gateway_access.hpp"
#include "python/bindings/call_operation.hpp"
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

// Large items into memory that was used before: for 1 MiB the fresh pages took 0.7 ms of processor time, the
// rest 0.15. The C library maps a block for itself from its mmap threshold on, and unmaps it when it is freed.
// Freeing one raises that threshold to its size, and the trim threshold to twice that: smaller blocks come from
// the heap then, whose free end goes back to the system only above the trim threshold. So programs with large
// items keep up to 32 MiB free; an environment that sets either (mallopt(3)) is obeyed.
void keep_freed_memory() {
  static const bool done = [] {
    void* volatile block = std::malloc(std::size_t{16} << 20);  // no page of it is touched
    std::free(block);
    return true;
  }();
  (void)done;
}

// Gateways that nobody waits for any more when they have started must not stay.
class StartedGateways {
 public:
  void made(std::vector<Gateway> gateways) {
    const std::lock_guard lock(mutex_);
    gateways_ = std::move(gateways);
    if (abandoned_) exit_all();
  }
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    exit_all();
  }

 private:
  void exit_all() {
    for (Gateway& gateway : gateways_) gateway.exit();
  }

  std::mutex mutex_;
  std::vector<Gateway> gateways_;
  bool abandoned_ = false;
};

// The same for what an operation started.
class Launched {
 public:
  explicit Launched(std::vector<Started> all) : all_(std::move(all)) {}
  Launched(Launched&& other) noexcept : all_(std::exchange(other.all_, {})) {}
  ~Launched() {
    for (Started& one : all_) one.gateway.exit();
  }
  [[nodiscard]] std::vector<Started> take() { return std::exchange(all_, {}); }

 private:
  std::vector<Started> all_;
};

// Bytes that are no UTF-8 are what os.fsdecode() has made of them.
std::string bytes_of(PyObject* text) {
  if (PyUnicode_Check(text) == 0) throw_format(PyExc_TypeError, "%R is neither a text nor True", text);
  const PyRef bytes = PyRef::check(PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape"));
  return {PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))};
}

// What was assigned, or deleted, since the text was parsed; the rest keeps its place in the text,
// for errors to point at.
void assign(XSpec& spec, const py::dict& keys) {
  constexpr std::string_view env_prefix = "env:";
  for (const std::string& key : spec.keys())
    if (!keys.contains(key)) spec.unset(key);
  const XSpec::Environment environment = spec.env();
  for (const auto& [name, value] : environment)
    if (!keys.contains(std::string(env_prefix) + name)) spec.unset_env(name);
  for (const auto& [key_object, value_object] : keys) {
    const std::string key = bytes_of(key_object.ptr());
    std::optional<std::string> value;
    if (value_object.ptr() != Py_True) value = bytes_of(value_object.ptr());
    if (key.starts_with(env_prefix))
      spec.set_env(key.substr(env_prefix.size()), std::move(value));
    else if (!value && !spec.is_true(key))
      spec.set_true(key);
    else if (value && (spec.is_true(key) || spec.get(key) != value))
      spec.set(key, *value);
  }
}

XSpec parsed(const std::string& text, const py::object& keys) {
  XSpec spec(text);
  if (!keys.is_none()) assign(spec, py::cast<py::dict>(keys));
  return spec;
}

PyRef python_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (...) {
    translate_exception();
  }
  return take_exception();
}

std::vector<XSpec> specs_of(const std::vector<PyGroup::Start>& starts) {
  keep_freed_memory();
  std::vector<XSpec> specs;
  for (const auto& [text, object, keys] : starts) specs.push_back(parsed(text, keys));
  return specs;
}

// Of each (gateway, via, None) or (None, None, error), with the GIL.
py::list results_of(std::vector<Started> all, const py::tuple& spec_objects) {
  py::list result;
  for (std::size_t at = 0; at < all.size(); ++at) {
    if (all[at].error) {
      result.append(py::make_tuple(py::none(), py::none(), object_of(python_error(all[at].error))));
      continue;
    }
    const auto via = all[at].gateway.spec().via();
    auto gateway = std::make_unique<PyGateway>(std::move(all[at].gateway), spec_objects[at]);
    result.append(py::make_tuple(std::move(gateway), via, py::none()));
  }
  return result;
}

py::tuple spec_objects_of(const std::vector<PyGroup::Start>& starts) {
  py::tuple objects(starts.size());
  for (std::size_t at = 0; at < starts.size(); ++at) objects[at] = std::get<1>(starts[at]);
  return objects;
}

// What `make(specs, started)` gives, which tells `started` of its gateways. Interrupted, it leaves none.
template <class Make>
auto start_interruptibly(const std::vector<PyGroup::Start>& starts, Make make) {
  std::vector<XSpec> specs = specs_of(starts);
  const auto started = std::make_shared<StartedGateways>();
  try {
    return run_interruptibly(
        [specs = std::move(specs), make = std::move(make), started] { return make(specs, *started); });
  } catch (const PythonError&) {
    started->abandon();
    throw;
  }
}

}  // namespace

PyGroup::PyGroup() : group_(std::make_shared<Group>()) {
  std::erase_if(groups(), [](const auto& group) { return group.expired(); });
  groups().push_back(group_);
}

PyGroup::~PyGroup() {
  if (fork_.in_child()) {
    detail::abandon(group_);  // a copy of the parent's
    return;
  }
  const WithoutGil released;
  group_.reset();
}

std::vector<std::unique_ptr<PyGateway>> PyGroup::start_all(const std::vector<Start>& starts) {
  std::vector<Gateway> gateways =
      start_interruptibly(starts, [group = group_](const std::vector<XSpec>& specs, StartedGateways& started) {
        std::vector<Gateway> made = group->makegateways(std::span<const XSpec>(specs));
        started.made(made);
        return made;
      });
  std::vector<std::unique_ptr<PyGateway>> all;
  for (std::size_t at = 0; at < gateways.size(); ++at)
    all.push_back(std::make_unique<PyGateway>(std::move(gateways[at]), std::get<1>(starts[at])));
  return all;
}

std::unique_ptr<PyGateway> PyGroup::start(std::string spec, py::object spec_object, py::object keys) {
  return std::move(start_all({{std::move(spec), std::move(spec_object), std::move(keys)}}).front());
}

void PyGroup::set_native_agent(std::vector<std::string> command, const std::vector<std::string>& sys_path,
                               std::vector<std::string> interpreter) {
  NativeAgent agent{std::move(command), {}, std::move(interpreter)};
  for (const std::string& place : sys_path) agent.sys_path.emplace_back(place);
  group_->set_native_agent(std::move(agent));
}

py::list PyGroup::start_each(const std::vector<Start>& starts, std::size_t fanout) {
  std::vector<Started> all =
      start_interruptibly(starts, [group = group_, fanout](const std::vector<XSpec>& specs, StartedGateways& started) {
        std::vector<Started> each = group->start_each(specs, fanout);
        std::vector<Gateway> gateways;
        for (const Started& one : each) gateways.push_back(one.gateway);
        started.made(std::move(gateways));
        return each;
      });
  return results_of(std::move(all), spec_objects_of(starts));
}

std::pair<std::vector<std::string>, std::vector<std::string>> PyGroup::terminate(const py::object& timeout) {
  TerminateReport report =
      run_interruptibly([group = group_, limit = timeout_of(timeout.ptr())] { return group->terminate(limit); });
  return {std::move(report.killed), std::move(report.survivors)};
}

py::object PyGroup::start_launch(const std::string& text, const py::object& spec_object, const py::object& keys) {
  keep_freed_memory();
  return object_of(call_operation(
      spec_object.ptr(),
      [group = group_, spec = parsed(text, keys)] {
        return Launched({{"", detail::GatewayAccess::launch(*group, spec), nullptr}});
      },
      [](Launched launched, PyObject* subject) {
        auto gateway = std::make_unique<PyGateway>(std::move(launched.take().front().gateway),
                                                   py::reinterpret_borrow<py::object>(subject));
        return PyRef::steal(py::cast(std::move(gateway)).release().ptr());
      }));
}

py::object PyGroup::start_fan_out(const std::vector<Start>& starts, std::size_t fanout) {
  return object_of(call_operation(
      spec_objects_of(starts).ptr(),
      [group = group_, specs = specs_of(starts), fanout] { return Launched(group->start_each(specs, fanout)); },
      [](Launched launched, PyObject* spec_objects) {
        const auto objects = py::reinterpret_borrow<py::tuple>(spec_objects);
        return PyRef::steal(results_of(launched.take(), objects).release().ptr());
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
