// The text that says where and how a gateway is started: "ssh=host//python=python3//id=w1".
//
// Grammar: parts separated by "//", each split at its first "="; a part without "=" has
// the value True. Neither keys nor values can contain "//". "env:NAME=value" parts make
// up the environment of the far side. Keys nobody knows are kept and readable.
//
// Parsing checks the grammar; the typed accessors check the values, when they are asked.
// Both throw SpecError with a text that shows the spec and points at the place.
//
// A value: copy it freely. Like any value it is not to be changed by one thread while
// another reads it.
#pragma once

#include <gangway/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gangway {

/// What a part of a spec is refused for. Bindings map it to what execnet raises there.
enum class SpecFault {
  empty_part,     // nothing between two "//", or nothing before a "=" (Python: IndexError)
  private_key,    // a key that starts with "_" (Python: AttributeError)
  duplicate_key,  // (Python: ValueError)
  bad_value,      // a value that its key cannot have (Python: ValueError)
  bad_transport,  // no transport, or more than one (Python: ValueError)
  bad_command,    // an unclosed quote, a trailing backslash (Python: ValueError)
};

/// The SpecError that XSpec and split_command throw.
class SpecParseError : public SpecError {
 public:
  SpecParseError(SpecFault fault, std::optional<std::size_t> position, const std::string& text)
      : SpecError(errc::bad_spec, text), fault_(fault), position_(position) {}
  [[nodiscard]] SpecFault fault() const noexcept { return fault_; }
  /// Offset in the parsed text, in bytes. None for values that were assigned with set().
  [[nodiscard]] std::optional<std::size_t> position() const noexcept { return position_; }

 private:
  SpecFault fault_;
  std::optional<std::size_t> position_;
};

/// `gevent` and `eventlet` are names that a spec may carry; whether a gateway can be
/// started with them is for the gateway layer to say.
enum class ExecModel { thread, main_thread_only, gevent, eventlet };

/// The word of the spec: "thread", "main_thread_only", ...
[[nodiscard]] std::string_view to_string(ExecModel model) noexcept;
/// The reverse; SpecError for any other word.
[[nodiscard]] ExecModel execmodel_named(std::string_view name);

enum class TransportKind {
  popen,
  ssh,
  vagrant_ssh,
  socket,  // also when only installvia= is given
  unix_socket,
  command,
  docker,
  podman,
  kubectl,
  sudo,
  su,
  doas,
  nsenter,
  unshare,
  slurm,
};

/// What becomes of what tasks print.
enum class OutputMode {
  null,      // stdout only: dropped
  inherit,   // stderr only: whatever the agent's process writes there, to this process's stderr
  forward,   // in whole lines to this process's own
  callback,  // to Gateway::set_output
};

/// The word of the spec: "null", "inherit", "forward", "callback".
[[nodiscard]] std::string_view to_string(OutputMode mode) noexcept;

/// The key in the spec: "popen", "ssh", ..., "unix" for unix_socket.
[[nodiscard]] std::string_view to_string(TransportKind kind) noexcept;

class XSpec {
 public:
  using Environment = std::map<std::string, std::optional<std::string>, std::less<>>;

  /// Throws SpecError (a SpecParseError) for what breaks the grammar.
  explicit XSpec(std::string_view text);

  /// The original text, whatever was assigned since.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] const std::string& str() const noexcept { return text_; }

  /// Whether the key was given or assigned. `env:NAME` parts are not keys.
  [[nodiscard]] bool has(std::string_view key) const noexcept;
  /// The value as it was written; "" for a key without "=", which is_true tells apart from
  /// an empty value; nothing for a key that was not given.
  [[nodiscard]] std::optional<std::string> get(std::string_view key) const;
  /// Whether the key stands there without "=".
  [[nodiscard]] bool is_true(std::string_view key) const noexcept;
  /// The keys in the order in which they were given or first assigned.
  [[nodiscard]] std::vector<std::string> keys() const;

  /// Assigned values may contain anything, "//" included; text() does not change.
  void set(std::string_view key, std::string_view value);
  void set_true(std::string_view key);
  void unset(std::string_view key) noexcept;

  /// NAME -> value; no value where "=" was left out.
  [[nodiscard]] const Environment& env() const noexcept { return env_; }
  void set_env(std::string_view name, std::optional<std::string> value);
  void unset_env(std::string_view name) noexcept;

  // The typed accessors. Each throws SpecError for a value that its key cannot have, and
  // returns nothing, or the default named here, when the key was not given.

  /// The one transport. SpecError when there is none, more than one, or `via` with `socket`.
  [[nodiscard]] TransportKind kind() const;

  /// The value of any key that is to reach an argv, a host name or a path: SpecError when it
  /// is empty, stands without "=", or holds a NUL or a newline.
  [[nodiscard]] std::optional<std::string> argument(std::string_view key) const;

  /// The far side receives these two as text: UTF-8.
  [[nodiscard]] std::optional<std::string> id() const { return text_argument("id"); }
  [[nodiscard]] std::optional<std::string> chdir() const { return text_argument("chdir"); }
  [[nodiscard]] std::optional<std::string> python() const { return argument("python"); }
  [[nodiscard]] std::optional<std::string> via() const { return argument("via"); }
  [[nodiscard]] std::optional<std::string> installvia() const { return argument("installvia"); }
  [[nodiscard]] std::optional<std::string> ssh_config() const { return argument("ssh_config"); }
  /// python= split by shell rules; empty when the key was not given.
  [[nodiscard]] std::vector<std::string> python_command() const { return command("python"); }
  /// The value of `key` split by shell rules; an unclosed quote is pointed at in the spec.
  [[nodiscard]] std::vector<std::string> command(std::string_view key) const;

  /// Added to the niceness of the far side's process.
  [[nodiscard]] std::optional<int> nice() const;
  /// Also 1/0, true/false, yes/no, on/off. Default: false.
  [[nodiscard]] bool dont_write_bytecode() const { return boolean("dont_write_bytecode"); }
  /// The same. Python's -I: neither PYTHON* variables nor the user's modules nor the working directory count.
  [[nodiscard]] bool isolated() const { return boolean("isolated"); }
  /// The same. Python's -S: site is not imported, and site-packages are not on the path.
  [[nodiscard]] bool no_site() const { return boolean("no_site"); }
  [[nodiscard]] std::optional<ExecModel> execmodel() const;
  /// Bytes: 65536, 64K, 64KiB (1024), 64KB (1000); 0 is unlimited, else at least
  /// limits::window_least. Default: limits::window.
  [[nodiscard]] std::uint64_t window() const;
  /// Bytes, written like window; at least 1. Default: limits::item.
  [[nodiscard]] std::uint64_t max_item() const;
  /// Seconds (30, 0.5) or with a unit (500ms, 30s, 2m, 1h); more than 0. Default:
  /// limits::bootstrap_time.
  [[nodiscard]] std::chrono::milliseconds connect_timeout() const;
  /// Like connect_timeout; 0 or `off` is none. Default: limits::ping_interval.
  [[nodiscard]] std::chrono::milliseconds keepalive() const;
  /// null, forward or callback. Default: null.
  [[nodiscard]] OutputMode stdout_mode() const;
  /// inherit, forward or callback. Default: inherit.
  [[nodiscard]] OutputMode stderr_mode() const;
  /// Of `ssh=` only: zlib level, 0 (`off`) to 9; `on` and the key alone are 6. Nothing when not given.
  [[nodiscard]] std::optional<int> compress() const;

  /// Throws the SpecError that points at the value of `key`, for layers above with more to
  /// check. `what` says what is wrong: "port 70000 is out of range".
  [[noreturn]] void reject(std::string_view key, const std::string& what) const;

  /// By the original text only, as in execnet.
  friend bool operator==(const XSpec& a, const XSpec& b) noexcept { return a.text_ == b.text_; }

 private:
  struct Entry {
    std::string key;
    std::optional<std::string> value;     // none: True
    std::optional<std::size_t> key_at;    // offsets in text_; none once assigned
    std::optional<std::size_t> value_at;  // where the value begins, or the key when there is none
  };

  [[nodiscard]] const Entry* find(std::string_view key) const noexcept;
  Entry& find_or_add(std::string_view key);
  [[noreturn]] void reject_at(SpecFault fault, std::size_t position, const std::string& what) const;
  [[noreturn]] void reject_entry(const Entry& entry, SpecFault fault, const std::string& what,
                                 std::size_t within_value = 0) const;
  [[nodiscard]] std::optional<std::string> text_argument(std::string_view key) const;
  [[nodiscard]] bool boolean(std::string_view key) const;
  [[nodiscard]] OutputMode output_mode(std::string_view key, OutputMode usual) const;
  [[nodiscard]] std::uint64_t size_of(const Entry& entry) const;
  [[nodiscard]] std::chrono::milliseconds duration_of(const Entry& entry) const;

  std::string text_;
  std::vector<Entry> entries_;  // a handful: searched front to back
  Environment env_;
};

/// Splits by shell rules: blanks separate, '...' is literal, in "..." a backslash escapes
/// only `"` and itself, elsewhere it escapes any character. Nothing is expanded. SpecError
/// for an unclosed quote, a backslash at the end, a NUL or a newline, and for no word at all.
[[nodiscard]] std::vector<std::string> split_command(std::string_view command);

}  // namespace gangway

template <>
struct std::hash<gangway::XSpec> {
  std::size_t operator()(const gangway::XSpec& spec) const noexcept { return std::hash<std::string>()(spec.text()); }
};
