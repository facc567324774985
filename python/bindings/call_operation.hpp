// A blocking call as an operation: what happens once in a gateway's life, or is asked by people,
// has a thread for that one call. Waits on channels have none (channel_operations.hpp).
// Thread rule: as Operation.
#pragma once

#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "python/bindings/operation.hpp"

namespace gangway::python {

/// `Run` is called without the GIL and owns what it uses: it goes on by itself when the operation
/// is cancelled, and what it returns is let go at once then: no loop may come to ask for it. `Convert` makes an object
/// of what it returned and of the subject, with the GIL; it owns no Python object, since the thread may be the last to
/// have it.
template <class Run, class Convert>
class CallOperation final : public Operation {
 public:
  CallOperation(Run run, Convert convert) : run_(std::move(run)), convert_(std::move(convert)) {}

  void start() override {
    std::thread([self = std::static_pointer_cast<CallOperation>(shared_from_this())] {
      try {
        self->returned(self->run_());
      } catch (...) {
        self->error_ = std::current_exception();
      }
      self->over();
    }).detach();
  }
  void cancel() noexcept override {
    std::optional<Result> unwanted;  // goes without the mutex
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (result_) unwanted.emplace(std::move(*result_));
    result_.reset();
  }
  PyRef result(PyObject* subject) override {
    if (error_) std::rethrow_exception(error_);
    return convert_(std::move(*result_), subject);
  }

 private:
  using Result = decltype(std::declval<Run&>()());

  void returned(Result result) {
    const std::lock_guard lock(mutex_);
    if (!cancelled_) result_.emplace(std::move(result));
  }

  Run run_;
  Convert convert_;
  std::mutex mutex_;  // guards what follows, until it is over
  std::optional<Result> result_;
  bool cancelled_ = false;
  std::exception_ptr error_;
};

template <class Run, class Convert>
[[nodiscard]] PyRef call_operation(PyObject* subject, Run run, Convert convert) {
  return OperationObject::make(std::make_shared<CallOperation<Run, Convert>>(std::move(run), std::move(convert)),
                               subject);
}

}  // namespace gangway::python
