// The controller's side of a gateway's connection, for its channel objects.
// Thread rule: the GIL is held, except in the destructor.
#pragma once

#include <memory>

#include "core/fork_guard.hpp"
#include "python/common/side.hpp"

namespace gangway::python {

class GatewaySide final : public Side {
 public:
  explicit GatewaySide(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~GatewaySide();

  [[nodiscard]] Connection& connection() const override { return *connection_; }
  [[nodiscard]] std::unique_ptr<Blocking> blocking() override;
  [[nodiscard]] bool in_child() const noexcept override { return fork_.in_child(); }
  [[noreturn]] void leave_child(PyObject* text) override;
  [[nodiscard]] PyRef gateway() override;
  [[nodiscard]] PyTypeObject& channel_class() override;
  [[nodiscard]] std::string error_text(PyObject* exception) override;
  [[nodiscard]] PyRef array_maker() override;

  /// What channels have as `gateway`, while it lives. Throws PythonError for what has no weak references.
  void set_owner(PyObject* owner);
  /// A subclass of Channel. Throws PythonError.
  void set_channel_class(PyObject* type);

 private:
  const std::shared_ptr<Connection> connection_;
  const detail::ForkGuard fork_;
  PyRef owner_;  // a weak reference to it
  PyRef channel_class_;
};

}  // namespace gangway::python
