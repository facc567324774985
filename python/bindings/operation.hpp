// Operation: something that takes time, for a caller that must not block its thread.
//
// It is made, started for a Port, and over once; then the port calls the function that was given,
// on the thread of its loop, and result() gives what came of it. Who does not want it any more
// cancels it, or drops it, at any time.
//
// Thread rule: with the GIL, but for over() and the destructor.
// Lifetime: the Python object holds it, and so does whoever calls over() later.
#pragma once

#include <memory>

#include "python/bindings/port.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

class Operation : public std::enable_shared_from_this<Operation> {
 public:
  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() = default;

  /// Once; over() follows, in the call or later. Throws what translate_exception() knows.
  virtual void start() = 0;
  /// Nobody will ask for the result. Started, and not finished by result().
  virtual void cancel() noexcept = 0;
  /// What came of it, once it is over; to be called once. `subject`: whose operation it is.
  [[nodiscard]] virtual PyRef result(PyObject* subject) = 0;

 protected:
  /// Any thread; once.
  void over() noexcept { port_->post(shared_from_this()); }

 private:
  friend class Port;
  friend struct OperationObject;
  std::shared_ptr<Port> port_;       // since start()
  std::shared_ptr<Operation> next_;  // in the queue of the port
};

/// _gangway.Operation
struct OperationObject {
  PyObject_HEAD PyObject* subject;  // a Channel, Gateway or Group, which lives as long as this
  PyObject* done;                   // to be called, while it is under way
  bool started;
  bool finished;  // cancelled, or the result was asked for
  std::shared_ptr<Operation> operation;

  [[nodiscard]] static OperationObject& of(PyObject* object) noexcept {
    return *reinterpret_cast<OperationObject*>(object);
  }
  /// An object for a new operation. Throws PythonError.
  [[nodiscard]] static PyRef make(std::shared_ptr<Operation> operation, PyObject* subject);

  void start(PyObject* self, std::shared_ptr<Port> port, PyObject* function);
  void cancel() noexcept;
  [[nodiscard]] PyRef result();
};

/// Ready to be added to the module. Throws PythonError.
[[nodiscard]] PyTypeObject& operation_type();

}  // namespace gangway::python
