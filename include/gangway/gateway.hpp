// Gateway: a Python interpreter that was started somewhere, and what one can do with it.
//
// A handle: copies refer to the same gateway, which belongs to its Group and lives until
// exit() or Group::terminate(). Safe to use from any thread.
//
// Errors: what starts an interpreter throws StartError (or HostNotFound, SpecError); what
// uses one that is gone throws ConnectionLost, whose text says how it ended: the exit
// status or signal, and the last lines of its stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <gangway/channel.hpp>
#include <gangway/death_record.hpp>
#include <gangway/output.hpp>
#include <gangway/remote_status.hpp>
#include <gangway/value.hpp>
#include <gangway/xspec.hpp>

namespace gangway {

namespace detail {
class GatewayState;
struct GatewayAccess;
}  // namespace detail

/// Python source for remote_exec. A value.
struct Source {
  std::string text;
  std::string file;      // for tracebacks; "": <remote exec>
  std::string function;  // called as f(channel, **kwargs) after the text was executed; "": none

  /// A file's content, under its name; the far side needs no access to it. Throws Error
  /// with the system's reason.
  [[nodiscard]] static Source from_file(const std::filesystem::path& path);
  /// A function that is defined in `text`, which may define other things as well.
  [[nodiscard]] static Source of_function(std::string_view text, std::string_view name, std::string_view file = {});
};

/// Who answers on the far side; from the handshake.
struct AgentInfo {
  std::string agent;           // "native", "portable"
  std::string version;         // of the agent
  std::string python;          // "3.11.2"
  std::string implementation;  // "cpython", "pypy"
  std::string executable;
  std::int64_t pid = 0;
};

class Gateway {
 public:
  Gateway() noexcept = default;
  [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }

  [[nodiscard]] const std::string& id() const;
  [[nodiscard]] const XSpec& spec() const;
  /// Waits for the handshake, if it is still under way.
  [[nodiscard]] AgentInfo info() const;

  /// Runs Python source on the far side, which finds its end of the returned channel as
  /// `channel`. Common indentation is taken off. Does not wait for the far side, unless the
  /// source is larger than the window: an error in it reaches the first receive or waitclose
  /// as RemoteError.
  Channel remote_exec(std::string_view source);
  /// Throws DumpError for keyword arguments that are not items.
  Channel remote_exec(const Source& source, const Dict& kwargs = {});

  /// A fresh channel that no task has yet: usable on the far side once it was sent there, as
  /// an item of another channel of this gateway or as a keyword argument. What is sent on it
  /// before waits there. Throws ConnectionLost, Error (too_many_channels).
  [[nodiscard]] Channel newchannel();

  /// How both sides decode strings on channels that are opened afterwards. There is no Python 2
  /// here, so only the second shows: with it a str arrives as bytes, its UTF-8.
  void reconfigure(bool py2str_as_py3str = true, bool py3str_as_py2str = false);

  /// What tasks print, when the spec has `stdout=callback` or `stderr=callback`, and what the
  /// process writes to its stderr with the latter (channel 0): line by line, in order within a
  /// stream, on the gateway's callback thread. What came before waits for the first call, as
  /// far as the window of the spec allows; then the tasks wait. While the function blocks they
  /// wait too. What it throws is traced and dropped. An empty function drops all output. A call
  /// of the one before may still be under way when this returns.
  /// Throws Error (bad_spec) when the spec has neither.
  void set_output(std::function<void(const Output&)> function);

  /// Asks the far side; answered while all tasks are busy. The text of a TimeoutError says for
  /// how long the agent has been silent.
  [[nodiscard]] RemoteStatus remote_status(std::optional<Channel::Timeout> timeout = {});
  /// The Python stacks of all threads on the far side, as text for people, control characters
  /// escaped; at most limits::stacks_text bytes. Asked of an agent that hangs, it says
  /// where. Timeouts as for remote_status.
  [[nodiscard]] std::string stacks(std::optional<Channel::Timeout> timeout = {});
  /// One round trip that involves no user code.
  std::chrono::nanoseconds ping(std::optional<Channel::Timeout> timeout = {});
  /// For how long the agent has not answered, when that is longer than three times the
  /// `keepalive` of the spec (15 s): stopped, or in a call that holds everything. It is not
  /// killed for that.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> unresponsive() const;

  /// Leaves the group and asks the agent to end, without waiting; never throws.
  void exit() noexcept;
  /// Ends the agent's process group with SIGKILL, now, without asking. Whoever waits on the
  /// gateway gets ConnectionLost, whose death record says that it was us. Leaves the group
  /// with exit() only. Does nothing when it is gone.
  void kill() noexcept;
  /// Waits until the agent's process is gone and reaped. False: not in time.
  [[nodiscard]] bool join(std::optional<Channel::Timeout> timeout = {});
  /// True while the connection lives.
  [[nodiscard]] bool hasreceiver() const;
  /// How the process ended, as far as that is known by now.
  [[nodiscard]] DeathRecord death() const;

  /// <Gateway id='gw0' receive-live, thread model, 0 active channels>
  friend std::ostream& operator<<(std::ostream& out, const Gateway& gateway);
  friend bool operator==(const Gateway& a, const Gateway& b) noexcept { return a.state_ == b.state_; }

 private:
  friend class Group;
  friend struct detail::GatewayAccess;
  explicit Gateway(std::shared_ptr<detail::GatewayState> state) noexcept : state_(std::move(state)) {}
  [[nodiscard]] detail::GatewayState& state() const;

  std::shared_ptr<detail::GatewayState> state_;
};

}  // namespace gangway
