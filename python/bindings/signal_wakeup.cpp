#include "python/bindings/signal_wakeup.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <optional>
#include <utility>

#include "python/common/py_ref.hpp"

namespace gangway::python {

namespace {

// signal.set_wakeup_fd: the one before, -1 for none. None at all where Python does not allow it,
// as in a thread that is not its main thread.
std::optional<int> set_wakeup_fd(int descriptor) {
  static PyObject* const function = [] {
    const PyRef module = PyRef::check(PyImport_ImportModule("_signal"));
    return PyRef::check(PyObject_GetAttrString(module.get(), "set_wakeup_fd")).release();
  }();
  const PyRef before = PyRef::steal(PyObject_CallFunction(function, "i", descriptor));
  const long number = before ? PyLong_AsLong(before.get()) : -1;
  if (PyErr_Occurred() == nullptr) return static_cast<int>(number);
  PyErr_Clear();
  return {};
}

}  // namespace

// A pipe whose end is watched for as long as the runtime exists: the handler that waits holds it.
class SignalWakeup::Watch : public std::enable_shared_from_this<Watch> {
 public:
  Watch(detail::Runtime& runtime, int end, int start) : runtime_(&runtime), start_(start), end_(runtime.io(), end) {}
  ~Watch() { ::close(start_); }

  void wait() {
    end_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this()](boost::system::error_code error) {
                      if (error) return;
                      self->on_readable();
                      self->wait();
                    });
  }
  void tell(detail::Waiter* waiter) {
    const std::lock_guard lock(mutex_);
    waiter_ = waiter;
  }
  [[nodiscard]] bool is_on(const detail::Runtime& runtime) const noexcept { return runtime_ == &runtime; }
  [[nodiscard]] int start() const noexcept { return start_; }

 private:
  // Also for a wait that began later: it looks, and goes on.
  void on_readable() {
    std::array<char, 64> signals;
    while (::read(end_.native_handle(), signals.data(), signals.size()) == static_cast<ssize_t>(signals.size())) {
    }
    const std::lock_guard lock(mutex_);
    if (waiter_ != nullptr) waiter_->notify();
  }

  const detail::Runtime* const runtime_;
  const int start_;
  boost::asio::posix::stream_descriptor end_;
  std::mutex mutex_;
  detail::Waiter* waiter_ = nullptr;
};

// The one of the runtime; a forked child has another runtime. Null when there are no descriptors.
std::shared_ptr<SignalWakeup::Watch> SignalWakeup::watch_on(detail::Runtime& runtime) {
  static auto* const last = new std::weak_ptr<Watch>;
  auto watch = last->lock();
  if (watch && watch->is_on(runtime)) return watch;
  std::array<int, 2> pipe;
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  watch = std::make_shared<Watch>(runtime, pipe[0], pipe[1]);
  watch->wait();
  *last = watch;
  return watch;
}

SignalWakeup::SignalWakeup(detail::Runtime& runtime, detail::Waiter& waiter) {
  auto watch = watch_on(runtime);
  if (!watch) return;
  watch->tell(&waiter);
  const auto before = set_wakeup_fd(watch->start());
  if (before == -1) {
    watch_ = std::move(watch);
    return;
  }
  watch->tell(nullptr);
  if (before) (void)set_wakeup_fd(*before);
}

SignalWakeup::~SignalWakeup() {
  if (!watch_) return;
  watch_->tell(nullptr);
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  const auto now = set_wakeup_fd(-1);
  if (now && *now != watch_->start()) (void)set_wakeup_fd(*now);  // of a signal's handler
  PyErr_Restore(type, value, traceback);
}

}  // namespace gangway::python
