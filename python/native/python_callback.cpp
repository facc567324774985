#include "python/native/python_callback.hpp"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "channels/channel_callback.hpp"
#include "python/native/channel_object.hpp"
#include "python/native/gil.hpp"
#include "python/native/module.hpp"
#include "python/native/object_builder.hpp"

namespace gangway::python {

namespace {

// How many callbacks have not been told of their end. Never destroyed: threads may outlive main().
struct Live {
  std::mutex mutex;
  std::condition_variable changed;
  int count = 0;

  void add(int difference) {
    const std::lock_guard lock(mutex);
    count += difference;
    changed.notify_all();
  }
};
Live& live() {
  static auto* const shared = new Live;
  return *shared;
}

class WithGil {
 public:
  WithGil() {
    // The callback thread keeps its state from call to call, and with it threading.local.
    thread_local bool known = false;
    if (!std::exchange(known, true) && PyGILState_GetThisThreadState() == nullptr) {
      module().agent->is_callback_thread();
      (void)PyGILState_Ensure();
      (void)PyEval_SaveThread();
    }
    state_ = PyGILState_Ensure();
  }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;
  ~WithGil() { PyGILState_Release(state_); }

 private:
  PyGILState_STATE state_;
};

// Of the Python exception that is set, and is no longer afterwards.
std::string take_traceback() {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  const PyRef kept[] = {PyRef::steal(type), PyRef::steal(value), PyRef::steal(traceback)};
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  try {
    return text_of(PyRef::check(PyObject_CallOneArg(function("error_text"), value)).get());
  } catch (const PythonError&) {
    PyErr_Clear();
    return "a callback failed";
  }
}

class PythonCallback final : public detail::ChannelCallback {
 public:
  PythonCallback(const ChannelPtr& channel, PyObject* user_function, PyObject* endmarker)
      : channel_(channel), function_(PyRef::share(user_function)), endmarker_(PyRef::share(endmarker)) {
    live().add(1);
  }
  ~PythonCallback() override {
    {
      const WithGil gil;
      PyRef().swap(function_);
      PyRef().swap(endmarker_);
    }
    live().add(-1);
  }

  void on_item(detail::InItem item) override {
    const WithGil gil;
    guarded([&] {
      const PyRef object = decode_object(std::move(item), object_channels());
      call(object.get());
    });
  }
  void on_end() override {
    const WithGil gil;
    if (endmarker_) guarded([&] { call(endmarker_.get()); });
    if (const auto channel = channel_.lock()) warn_of_unseen_error(channel);
  }

  void registered() noexcept { registering_ = false; }

 private:
  void call(PyObject* object) { PyRef::check(PyObject_CallOneArg(function_.get(), object)); }

  // What goes wrong is the caller's of setcallback, if that is where we are; else the peer's.
  template <class Body>
  void guarded(Body body) {
    std::string text;
    try {
      body();
      if (module().agent->in_child()) leave_child(Py_None);
      return;
    } catch (...) {
      translate_exception();
    }
    if (!module().agent->in_child() && registrar_ == PyThread_get_thread_ident() && registering_) throw PythonError();
    text = take_traceback();
    if (module().agent->in_child()) leave_child(PyRef::check(PyUnicode_FromString(text.c_str())).get());
    throw RemoteError(text);
  }

  const std::weak_ptr<detail::ChannelState> channel_;
  PyRef function_;
  PyRef endmarker_;
  const unsigned long registrar_ = PyThread_get_thread_ident();
  bool registering_ = true;  // only the registrar looks at it
};

}  // namespace

void set_python_callback(const ChannelPtr& channel, PyObject* user_function, PyObject* endmarker) {
  // Before it is the callback thread that imports threading.
  PyRef::check(PyObject_CallFunction(function("ensure_threading"), "k", module().agent->main_thread()));
  const auto callback = std::make_shared<PythonCallback>(channel, user_function, endmarker);
  module().agent->connection().set_callback(channel, callback);
  callback->registered();
}

void join_callbacks(std::chrono::milliseconds limit) {
  const WithoutGil released;
  std::unique_lock lock(live().mutex);
  (void)live().changed.wait_for(lock, limit, [] { return live().count == 0; });
}

}  // namespace gangway::python
