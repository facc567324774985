// User code that gets a channel's items instead of a receiver, and what a connection knows
// about it.
//
// Thread rule: ChannelCallback is called on its gateway's callback thread, or on the thread
// that registers it, one call at a time and without any lock; it is destroyed on a thread
// that drops the last reference, without the connection's mutex. The rest is guarded by
// that mutex.
#pragma once

#include <list>
#include <memory>
#include <utility>

#include "channels/channel_state.hpp"

namespace gangway::detail {

class ChannelCallback {
 public:
  virtual ~ChannelCallback() = default;
  /// What it throws closes the channel; the exception's text (RemoteError: as it was sent)
  /// is the error at both sides.
  virtual void on_item(InItem item) = 0;
  /// Nothing more will come. Called once, last.
  virtual void on_end() = 0;
};

/// Somebody who takes a channel's items in his own time, and is told that they are there.
class ArrivalSink {
 public:
  virtual ~ArrivalSink() = default;
  /// One more item, or the end (once), which must not throw. Called with the connection's mutex
  /// held; must neither block nor call the connection back.
  virtual void on_arrival(const std::shared_ptr<ChannelState>& channel, bool is_end) = 0;
};

/// One thing that the callback thread has to do: an item of a channel, or its end.
struct CallbackTurn {
  std::shared_ptr<ChannelState> channel;
  std::shared_ptr<CallbackState> callback;
  bool is_end = false;
};
/// A list, so that the end of a channel takes no memory to be queued.
using CallbackTurns = std::list<CallbackTurn>;

struct CallbackState {
  explicit CallbackState(std::shared_ptr<ChannelCallback> user_code) : user(std::move(user_code)) {}
  explicit CallbackState(std::shared_ptr<ArrivalSink> somebody) : sink(std::move(somebody)) {}

  std::shared_ptr<ChannelCallback> user;  // none: the end was told, or it is a sink
  std::shared_ptr<ArrivalSink> sink;      // none: the end was told, or it is a callback
  bool handing_over = false;              // the thread that registers it is calling it
  bool failed = false;                    // it threw: it gets no more items
  CallbackTurns held;                     // its turns that came up meanwhile
  CallbackTurns end = CallbackTurns(1);   // made beforehand; empty: queued
};

/// The turns of a connection, in the order in which things arrived.
class CallbackQueue {
 public:
  void item(const std::shared_ptr<ChannelState>& channel) { turns_.push_back({channel, channel->callback, false}); }
  void end(const std::shared_ptr<ChannelState>& channel) noexcept {
    CallbackTurns& prepared = channel->callback->end;
    if (prepared.empty() || !channel->callback->user) return;
    prepared.front() = {channel, channel->callback, true};
    turns_.splice(turns_.end(), prepared);
  }
  /// The first one, as a list of one. Those of a channel whose callback is being called
  /// elsewhere are put aside.
  [[nodiscard]] CallbackTurns next() noexcept {
    CallbackTurns first;
    while (first.empty() && !turns_.empty()) {
      CallbackState& callback = *turns_.front().callback;
      CallbackTurns& to = callback.handing_over ? callback.held : first;
      to.splice(to.end(), turns_, turns_.begin());
    }
    return first;
  }
  /// Those that were put aside are the oldest.
  void resume(CallbackState& callback) noexcept { turns_.splice(turns_.begin(), callback.held); }
  [[nodiscard]] bool empty() const noexcept { return turns_.empty(); }

 private:
  CallbackTurns turns_;
};

}  // namespace gangway::detail
