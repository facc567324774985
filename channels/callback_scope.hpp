// Which channels' callbacks this thread is running: waiting there for the end of one of
// them could only wait for itself.
//
// Thread rule: each thread has its own.
#pragma once

#include <utility>

namespace gangway::detail {

struct ChannelState;

class CallbackScope {
 public:
  explicit CallbackScope(const ChannelState& channel) : channel_(channel), outer_(std::exchange(innermost_, this)) {}
  ~CallbackScope() { innermost_ = outer_; }
  CallbackScope(const CallbackScope&) = delete;
  CallbackScope& operator=(const CallbackScope&) = delete;

  [[nodiscard]] static bool inside(const ChannelState& channel) noexcept {
    const CallbackScope* scope = innermost_;
    while (scope != nullptr && &scope->channel_ != &channel) scope = scope->outer_;
    return scope != nullptr;
  }

 private:
  static inline thread_local const CallbackScope* innermost_ = nullptr;

  const ChannelState& channel_;
  const CallbackScope* const outer_;
};

}  // namespace gangway::detail
