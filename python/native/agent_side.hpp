// The agent's side of its connection, for its channel objects. Thread rule: the GIL is held.
#pragma once

#include "python/common/side.hpp"
#include "python/native/agent.hpp"

namespace gangway::python {

class AgentSide final : public Side {
 public:
  explicit AgentSide(std::shared_ptr<Agent> agent) : agent_(std::move(agent)) {}

  [[nodiscard]] Connection& connection() const override { return agent_->connection(); }
  [[nodiscard]] std::unique_ptr<Blocking> blocking() override;
  [[nodiscard]] bool in_child() const noexcept override { return agent_->in_child(); }
  [[noreturn]] void leave_child(PyObject* text) override;
  [[nodiscard]] PyRef gateway() override;
  [[nodiscard]] PyTypeObject& channel_class() override;
  [[nodiscard]] bool is_task(std::uint32_t id) override { return agent_->is_executing(id); }
  void prepare_callbacks() override;
  void on_callback_thread() override { agent_->is_callback_thread(); }
  [[nodiscard]] std::string error_text(PyObject* exception) override;
  [[nodiscard]] PyRef array_maker() override;

 private:
  const std::shared_ptr<Agent> agent_;
};

/// Completes Channel with what only agents have. Throws PythonError.
void prepare_agent_channels();

}  // namespace gangway::python
