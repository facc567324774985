// Every way in which Gangway can fail: one error_code enum with a line per value, and
// one family of exceptions for the blocking API.
//
// Inside, and in completion handlers, errors are boost::system::error_code values of
// error_category(), with the text beside them where there is more to say. The blocking
// API throws an exception derived from Error, which carries the code and the whole text.
// Exceptions are values: copyable, and free to cross threads.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/is_error_code_enum.hpp>

#include <stdexcept>
#include <string>

#include <gangway/death_record.hpp>

namespace gangway {

enum class errc {
  // Items and the dump format.
  cannot_serialize = 1,  // an object that is not an item; nothing was sent
  too_deep,              // nesting beyond limits::nesting_depth
  item_too_large,        // beyond max_item of this side or of the peer
  bad_item,              // what arrived is not an item of the subset (items.md)
  bad_text,              // text that is not UTF-8, or has surrogates
  bad_channel,           // a channel that does not belong to this connection
  bad_cast,              // value_to<T> of a value of another kind

  // Channels.
  end_of_channel,     // nothing more will arrive: the peer closed, or its task ended
  channel_closed,     // send on a closed channel
  remote_error,       // the task on the far side failed; the text is its traceback
  timed_out,          // the caller's own deadline
  cancelled,          // the operation was cancelled
  too_many_channels,  // limits::live_channels reached
  has_callback,       // receive, or a second setcallback, on a channel with a callback

  // Connections.
  connection_lost,  // the stream ended without having been asked to
  protocol_error,   // the peer broke the wire protocol; the text says how
  terminated,       // ended by exit() or terminate() on this side
  would_deadlock,   // a blocking call where only waiting for oneself could follow

  // Starting.
  bad_spec,            // a spec that cannot be parsed or used; the text points at the place
  spawn_failed,        // the operating system did not start the process
  bootstrap_timeout,   // no marker or no HELLO in time
  bootstrap_noise,     // more than limits::noise bytes before the marker
  bootstrap_failed,    // the interpreter ended, or the agent reported that it cannot serve
  version_mismatch,    // no common major version of the wire protocol
  host_not_found,      // the other machine cannot be reached by this name
  group_error,         // an id in use, an unknown id
  connection_refused,  // nobody listens there
  connect_timeout,     // the other machine, or the way to it, did not answer in time
  host_unreachable,    // there is no way to the other machine, or it hung up before the login
  host_key_unknown,    // its key is in no known_hosts file: nothing says that it is that machine
  host_key_changed,    // its key is another one than known_hosts has, or was revoked
  auth_failed,         // it takes none of the keys and passwords that there are
  server_limit,        // it is there, and has no room: sessions, processes, start-ups
  shell_refused,       // the login worked, and the login shell did not run the command
  python_not_found,    // no interpreter by any of the names that were tried
  python_too_old,      // an interpreter, but none of version 3.6 or newer

  bad_argument,  // a call with something that it cannot mean
};

[[nodiscard]] const boost::system::error_category& error_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(errc code) noexcept;

/// The base of everything that the blocking API throws.
class Error : public std::runtime_error {
 public:
  Error(boost::system::error_code code, const std::string& text) : std::runtime_error(text), code_(code) {}
  [[nodiscard]] boost::system::error_code code() const noexcept { return code_; }

 private:
  boost::system::error_code code_;
};

/// The task on the far side failed. what() is its traceback, control characters escaped;
/// formatted() is the text as it was sent.
class RemoteError : public Error {
 public:
  explicit RemoteError(std::string formatted);
  [[nodiscard]] const std::string& formatted() const noexcept { return formatted_; }

 private:
  std::string formatted_;
};

/// The caller's deadline passed. The channel or gateway stays usable.
class TimeoutError : public Error {
  using Error::Error;
};

/// Nothing more will arrive on a channel (Python: EOFError).
class EndOfChannel : public Error {
  using Error::Error;
};

/// send on a closed channel or a lost connection (Python: OSError).
class ChannelClosed : public Error {
  using Error::Error;
};

/// The connection ended without having been asked to: what() says how, death() what is
/// known of the process on the far side.
class ConnectionLost : public EndOfChannel {
 public:
  ConnectionLost(boost::system::error_code code, const std::string& text, DeathRecord death)
      : EndOfChannel(code, text), death_(std::move(death)) {}
  [[nodiscard]] const DeathRecord& death() const noexcept { return death_; }

 private:
  DeathRecord death_;
};

/// A gateway could not be started.
class StartError : public Error {
  using Error::Error;
};

/// The other machine cannot be reached by this name: not found, refused, no answer, a host key
/// or a login that failed. code() says which.
class HostNotFound : public StartError {
  using StartError::StartError;
};

/// A spec that cannot be parsed or used.
class SpecError : public Error {
  using Error::Error;
};

/// What dumps/loads and items have in common.
class DataFormatError : public Error {
  using Error::Error;
};

/// An object that cannot be serialized; nothing was sent.
class DumpError : public DataFormatError {
  using DataFormatError::DataFormatError;
};

/// Bytes that do not hold what they should.
class LoadError : public DataFormatError {
  using DataFormatError::DataFormatError;
};

/// Throws the exception that belongs to `code`. `text` may be empty; the code's own
/// message is used then.
[[noreturn]] void throw_error(boost::system::error_code code, const std::string& text = {}, DeathRecord death = {});

}  // namespace gangway

template <>
struct boost::system::is_error_code_enum<gangway::errc> : std::true_type {};
