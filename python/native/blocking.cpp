#include "python/native/blocking.hpp"

#include <unistd.h>

#include "python/native/wakeup_fd.hpp"

namespace gangway::python {

AgentBlocking::AgentBlocking(Agent& agent) : agent_(agent), main_(agent.is_main_thread()), wait_(agent) {
  if (main_) user_fd_ = set_wakeup_fd(agent_.signal_fd());
}

AgentBlocking::~AgentBlocking() {
  if (!main_) return;
  set_wakeup_fd(user_fd_);
  if (user_fd_ < 0 || user_fd_ == agent_.signal_fd()) return;
  const std::string signals = agent_.take_signals();
  if (!signals.empty()) (void)!::write(user_fd_, signals.data(), signals.size());
}

void AgentBlocking::check() {
  wait_.waiter.rearm();
  if (wait_.take_interrupt()) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw PythonError();
  }
  if (main_) check_status(PyErr_CheckSignals());
}

}  // namespace gangway::python
