// How the thread of a login is told that nobody wants it any more, whatever it waits for.
//
// Thread rule: any.
#pragma once

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <mutex>

#include "core/file_descriptor.hpp"
#include "core/runtime.hpp"

namespace gangway::detail {

class SshLoginControl {
 public:
  SshLoginControl() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) throw_error(last_os_error(), "cannot watch a login: " + last_os_error().message());
  }

  void cancel() noexcept {
    cancelled_ = true;
    (void)::eventfd_write(event_.get(), 1);
    const std::lock_guard lock(mutex_);
    if (agent_ >= 0) (void)::shutdown(agent_, SHUT_RDWR);
  }
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }

  /// Sleeps until `fd` (if not negative) is ready for `events`. False: cancelled, or too late.
  [[nodiscard]] bool wait(int fd, short events, Deadline deadline) const noexcept;

  /// The connection to the ssh-agent while libssh waits for its answers, or -1.
  void set_agent(int fd) noexcept {
    const std::lock_guard lock(mutex_);
    agent_ = fd;
    if (fd >= 0 && cancelled_) (void)::shutdown(fd, SHUT_RDWR);
  }

 private:
  const FileDescriptor event_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  int agent_ = -1;
};

}  // namespace gangway::detail
