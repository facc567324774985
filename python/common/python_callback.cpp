#include "python/common/python_callback.hpp"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "channels/channel_callback.hpp"
#include "python/common/channel_object.hpp"
#include "python/common/exceptions.hpp"
#include "python/common/gil.hpp"
#include "python/common/object_builder.hpp"

namespace gangway::python {

namespace {

// What callbacks there are. Never destroyed: threads may outlive main().
struct Live {
  std::mutex mutex;
  std::condition_variable changed;
  int callbacks = 0;   // not told of their end
  int with_gil = 0;    // threads that have the GIL for a callback, or want it
  bool ended = false;  // nobody may want it any more
};
Live& live() {
  static auto* const shared = new Live;
  return *shared;
}

void count(int& number, int difference) {
  const std::lock_guard lock(live().mutex);
  number += difference;
  live().changed.notify_all();
}

void wait_for_none(const int& number, std::chrono::milliseconds limit) {
  const WithoutGil released;
  std::unique_lock lock(live().mutex);
  (void)live().changed.wait_for(lock, limit, [&] { return number == 0; });
}

class PythonCallback final : public detail::ChannelCallback {
 public:
  PythonCallback(std::shared_ptr<Side> side, const ChannelPtr& channel, PyObject* user_function, PyObject* endmarker)
      : side_(std::move(side)),
        channel_(channel),
        function_(PyRef::share(user_function)),
        endmarker_(PyRef::share(endmarker)) {
    count(live().callbacks, 1);
  }
  ~PythonCallback() override {
    {
      const CallbackGil gil(side_.get());
      if (!gil || side_->in_child()) {
        (void)function_.release();
        (void)endmarker_.release();
      }
      PyRef().swap(function_);
      PyRef().swap(endmarker_);
    }
    count(live().callbacks, -1);
  }

  void on_item(detail::InItem item) override {
    const CallbackGil gil(side_.get());
    if (!gil) return;
    guarded([&] {
      const PyRef object = decode_object(std::move(item), *side_);
      call_back(function_.get(), {object.get()});
    });
  }
  void on_end() override {
    const CallbackGil gil(side_.get());
    if (!gil) return;
    if (endmarker_) guarded([&] { call_back(function_.get(), {endmarker_.get()}); });
    if (const auto channel = channel_.lock()) warn_of_unseen_error(*side_, channel);
  }

  void registered() noexcept { registering_ = false; }

 private:
  // What goes wrong is the caller's of setcallback, if that is where we are; else the peer's.
  template <class Body>
  void guarded(Body body) {
    try {
      body();
      if (side_->in_child()) side_->leave_child(Py_None);
      return;
    } catch (const std::exception&) {
      translate_exception();
    }
    if (!side_->in_child() && registrar_ == PyThread_get_thread_ident() && registering_) throw PythonError();
    const std::string text = traceback_of(take_exception());
    if (side_->in_child()) side_->leave_child(PyRef::check(PyUnicode_FromString(text.c_str())).get());
    throw RemoteError(text);
  }

  std::string traceback_of(const PyRef& exception) {
    try {
      return side_->error_text(exception.get());
    } catch (const PythonError&) {
      PyErr_Clear();
      return "a callback failed";
    }
  }

  const std::shared_ptr<Side> side_;
  const std::weak_ptr<detail::ChannelState> channel_;
  PyRef function_;
  PyRef endmarker_;
  const unsigned long registrar_ = PyThread_get_thread_ident();
  bool registering_ = true;  // only the registrar looks at it
};

}  // namespace

CallbackGil::CallbackGil(Side* side) {
  {
    const std::lock_guard lock(live().mutex);
    if (live().ended) return;
    ++live().with_gil;
  }
  try {
    // The callback thread keeps its state from call to call, and with it threading.local.
    thread_local bool known = false;
    if (!std::exchange(known, true) && PyGILState_GetThisThreadState() == nullptr) {
      if (side != nullptr) side->on_callback_thread();
      (void)PyGILState_Ensure();
      (void)PyEval_SaveThread();
    }
    state_ = PyGILState_Ensure();
    taken_ = true;
  } catch (abi::__forced_unwind&) {
    wait_for_the_end();
  }
}

CallbackGil::~CallbackGil() {
  if (!taken_) return;
  PyGILState_Release(state_);
  count(live().with_gil, -1);
}

void call_back(PyObject* function, std::initializer_list<PyObject*> arguments) {
  PyObject* result = nullptr;
  try {
    result = PyObject_Vectorcall(function, arguments.begin(), arguments.size(), nullptr);
  } catch (abi::__forced_unwind&) {
    wait_for_the_end();
  }
  PyRef::check(result);
}

void set_python_callback(const std::shared_ptr<Side>& side, const ChannelPtr& channel, PyObject* user_function,
                         PyObject* endmarker) {
  side->prepare_callbacks();
  const auto callback = std::make_shared<PythonCallback>(side, channel, user_function, endmarker);
  side->connection().set_callback(channel, callback);
  callback->registered();
}

void join_callbacks(std::chrono::milliseconds limit) { wait_for_none(live().callbacks, limit); }

void end_callbacks(std::chrono::milliseconds limit) {
  {
    const std::lock_guard lock(live().mutex);
    live().ended = true;
  }
  wait_for_none(live().with_gil, limit);
}

}  // namespace gangway::python
