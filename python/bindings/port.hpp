// Port: where an event loop (asyncio's, gevent's, eventlet's) is told that operations are over.
//
// The thread that leads the I/O must neither take the GIL nor run Python code. It puts what is
// over into the port's queue and makes a descriptor readable; the loop watches that, and calls
// run() on its own thread.
//
// Thread rule: post() on any thread, also with a connection's mutex held; the rest with the GIL.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/fork_guard.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

class Operation;

class Port {
 public:
  /// Throws PythonError when there is no descriptor to be had.
  [[nodiscard]] static std::shared_ptr<Port> make();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  /// Takes no memory: the end of a connection gets through when there is none left.
  void post(std::shared_ptr<Operation> operation) noexcept;

  /// Calls what waits for the operations that are over. False: a Python exception is set, and
  /// the rest follows when it is called again, for which the descriptor stays readable.
  [[nodiscard]] bool run();

  /// Who is to be called for an operation: an object of operation_type(), kept alive meanwhile.
  void expect(Operation& operation, PyObject* object);
  void forget(Operation& operation);

  /// The loop is gone: nobody will be called any more.
  void close() noexcept;
  int traverse(visitproc visit, void* arg);

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  /// Whether this is the thread on which it was made: the loop's.
  [[nodiscard]] bool on_thread() const noexcept { return thread_ == PyThread_get_thread_ident(); }
  [[nodiscard]] bool in_child() const noexcept { return fork_.in_child(); }

 private:
  explicit Port(int descriptor) noexcept : descriptor_(descriptor) {}
  [[nodiscard]] std::shared_ptr<Operation> pop() noexcept;
  void signal() const noexcept;

  const detail::ForkGuard fork_;
  const int descriptor_;
  const unsigned long thread_ = PyThread_get_thread_ident();
  std::unordered_map<Operation*, PyRef> expected_;  // with the GIL

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<Operation> first_;
  Operation* last_ = nullptr;
  bool closed_ = false;
};

/// _gangway.Port
struct PortObject {
  PyObject_HEAD PyObject* weak_references;
  std::shared_ptr<Port> port;

  [[nodiscard]] static PortObject& of(PyObject* object) noexcept { return *reinterpret_cast<PortObject*>(object); }
};

/// Ready to be added to the module. Throws PythonError.
[[nodiscard]] PyTypeObject& port_type();

}  // namespace gangway::python
