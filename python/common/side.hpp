// One side of a connection, as its channel objects see it: the native agent's, or a
// gateway's in a program that uses the Python package.
//
// Thread rule: the GIL is held, except in the destructor.
// Lifetime: the channel objects hold it.
#pragma once

#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "channels/channel_handle.hpp"
#include "python/common/gil.hpp"
#include "python/common/object_walker.hpp"
#include "python/common/py_ref.hpp"

namespace gangway::python {

using detail::ChannelHandle;
using detail::Connection;
using ChannelPtr = Connection::ChannelPtr;

struct ChannelObject;

/// A wait of a thread that runs Python code: signals and the like end it.
class Blocking {
 public:
  Blocking() = default;
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;
  virtual ~Blocking() = default;

  [[nodiscard]] virtual detail::Waiter& waiter() noexcept = 0;
  /// Makes ready for the next wait, and runs the handlers of signals that came. Throws
  /// PythonError when one of them, or an interrupt, has raised something.
  virtual void check() = 0;
  /// How long the next wait may last, of one until `deadline`.
  [[nodiscard]] virtual detail::Deadline slice(detail::Deadline deadline) const { return deadline; }
};

class Side : public ObjectChannels, public std::enable_shared_from_this<Side> {
 public:
  Side() = default;
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  [[nodiscard]] virtual Connection& connection() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Blocking> blocking() = 0;
  /// In a process that user code has forked: the connection belongs to the parent.
  [[nodiscard]] virtual bool in_child() const noexcept = 0;
  /// The OSError of such a process.
  void check_process() const;
  /// Ends such a process when user code comes back to us in it. `text`: of its error, or None.
  [[noreturn]] virtual void leave_child(PyObject* text) = 0;

  /// What channels have as `gateway`; may be null.
  [[nodiscard]] virtual PyRef gateway() = 0;
  /// What new channels are instances of.
  [[nodiscard]] virtual PyTypeObject& channel_class() = 0;
  /// The channel of a task that runs here must not be closed by user code.
  [[nodiscard]] virtual bool is_task(std::uint32_t /*id*/) { return false; }
  /// A callback is about to be registered.
  virtual void prepare_callbacks() {}
  /// This thread is the one that runs callbacks.
  virtual void on_callback_thread() {}
  /// The traceback, as the peer gets it.
  [[nodiscard]] virtual std::string error_text(PyObject* exception) = 0;

  /// The object of a channel: the same one as long as somebody has it.
  [[nodiscard]] PyRef wrap(std::shared_ptr<ChannelHandle> handle);
  [[nodiscard]] bool has_object(std::uint32_t id) const { return objects_.count(id) != 0; }
  /// The live ones.
  [[nodiscard]] std::vector<PyRef> channels() const;

  // ObjectChannels
  [[nodiscard]] bool is_channel(PyObject* object) const noexcept final;
  [[nodiscard]] std::uint32_t id_of(PyObject* channel) const final;
  [[nodiscard]] PyRef channel(std::uint32_t id) final;
  [[nodiscard]] bool sends_arrays() const final { return connection().peer_arrays(); }

 protected:
  ~Side() = default;

 private:
  friend struct ChannelObject;

  const int pid_ = ::getpid();
  std::unordered_map<std::uint32_t, ChannelObject*> objects_;  // not owned
};

/// Waits until `wait(waiter, deadline)`, which runs without the GIL, gives something that is
/// true. Its TimeoutError at the deadline is thrown.
template <class Wait>
auto wait_blocking(Side& side, detail::Deadline deadline, Wait wait) {
  const auto blocking = side.blocking();
  for (;;) {
    blocking->check();
    const detail::Deadline slice = blocking->slice(deadline);
    try {
      const WithoutGil released;
      if (auto result = wait(blocking->waiter(), slice)) return result;
    } catch (const gangway::TimeoutError&) {
      if (slice == deadline) throw;
    }
  }
}

/// What `timeout` (None, or seconds) means. Throws PythonError.
[[nodiscard]] std::optional<std::chrono::nanoseconds> timeout_of(PyObject* timeout);
/// The same from now on.
[[nodiscard]] detail::Deadline deadline_of(PyObject* timeout);

}  // namespace gangway::python
