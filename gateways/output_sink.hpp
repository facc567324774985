// Where lines go: this process's own streams (LineWriter), or a callback (OutputQueue). A
// sink holds limits::output_held bytes; whoever is refused reads no more until it is told
// that there is room, so that in the end the far side waits.
//
// Thread rule: any thread.
#pragma once

#include <functional>

#include <gangway/output.hpp>

namespace gangway::detail {

class OutputSink {
 public:
  using OnRoom = std::function<void()>;

  virtual ~OutputSink() = default;
  /// Takes `output`, or returns false and leaves it: full. Then `on_room` is called once
  /// there is room, on some thread, without a lock of the sink's. It must not block.
  [[nodiscard]] virtual bool offer(Output& output, OnRoom on_room) = 0;
  /// The last words of a process, which cannot wait: taken although the sink is full, and
  /// dropped beyond limits::last_output_held.
  virtual void push(Output output) = 0;
};

}  // namespace gangway::detail
