#include <gangway/error.hpp>

#include "core/escape.hpp"

namespace gangway {

namespace {

class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "gangway"; }

  std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::cannot_serialize: return "can't serialize this object";
      case errc::too_deep: return "nested too deeply";
      case errc::item_too_large: return "item too large";
      case errc::bad_item: return "not a valid item";
      case errc::bad_text: return "not valid UTF-8 text";
      case errc::bad_channel: return "channel of another connection";
      case errc::bad_cast: return "value of another kind";
      case errc::end_of_channel: return "end of channel";
      case errc::channel_closed: return "channel is closed";
      case errc::remote_error: return "remote error";
      case errc::timed_out: return "timed out";
      case errc::cancelled: return "cancelled";
      case errc::too_many_channels: return "too many channels";
      case errc::has_callback: return "the channel has a callback";
      case errc::connection_lost: return "connection lost";
      case errc::protocol_error: return "protocol error";
      case errc::terminated: return "terminated";
      case errc::would_deadlock: return "would wait for itself";
      case errc::bad_spec: return "bad spec";
      case errc::spawn_failed: return "could not start the process";
      case errc::bootstrap_timeout: return "the agent did not answer in time";
      case errc::bootstrap_noise: return "too much noise before the agent's marker";
      case errc::bootstrap_failed: return "the agent did not start";
      case errc::version_mismatch: return "no common version of the wire protocol";
      case errc::host_not_found: return "host not found";
      case errc::group_error: return "group error";
      case errc::connection_refused: return "connection refused";
      case errc::connect_timeout: return "no connection in time";
      case errc::host_unreachable: return "host unreachable";
      case errc::host_key_unknown: return "unknown host key";
      case errc::host_key_changed: return "the host key has changed";
      case errc::auth_failed: return "authentication failed";
      case errc::server_limit: return "the server has reached a limit";
      case errc::shell_refused: return "the login shell refused the command";
      case errc::python_not_found: return "no Python found";
      case errc::python_too_old: return "Python too old";
      case errc::bad_argument: return "bad argument";
    }
    return "unknown error";
  }
};

}  // namespace

const boost::system::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

boost::system::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), error_category()}; }

RemoteError::RemoteError(std::string formatted)
    : Error(errc::remote_error, detail::escape_for_display(formatted)), formatted_(std::move(formatted)) {}

void throw_error(boost::system::error_code code, const std::string& text, DeathRecord death) {
  const std::string& what = text.empty() ? code.message() : text;
  if (code.category() != error_category()) throw Error(code, what);
  switch (static_cast<errc>(code.value())) {
    case errc::cannot_serialize:
    case errc::too_deep:
    case errc::item_too_large:
    case errc::bad_channel: throw DumpError(code, what);
    case errc::bad_item:
    case errc::bad_text: throw LoadError(code, what);
    case errc::remote_error: throw RemoteError(text);
    case errc::timed_out: throw TimeoutError(code, what);
    case errc::end_of_channel: throw EndOfChannel(code, what);
    case errc::channel_closed: throw ChannelClosed(code, what);
    case errc::connection_lost:
    case errc::protocol_error:
    case errc::terminated: throw ConnectionLost(code, what, std::move(death));
    case errc::bad_spec: throw SpecError(code, what);
    case errc::host_not_found:
    case errc::connection_refused:
    case errc::connect_timeout:
    case errc::host_unreachable:
    case errc::host_key_unknown:
    case errc::host_key_changed:
    case errc::auth_failed: throw HostNotFound(code, what);
    case errc::spawn_failed:
    case errc::bootstrap_timeout:
    case errc::bootstrap_noise:
    case errc::bootstrap_failed:
    case errc::version_mismatch:
    case errc::server_limit:
    case errc::shell_refused:
    case errc::python_not_found:
    case errc::python_too_old: throw StartError(code, what);
    case errc::bad_cast:
    case errc::cancelled:
    case errc::too_many_channels:
    case errc::has_callback:
    case errc::would_deadlock:
    case errc::group_error:
    case errc::bad_argument: break;
  }
  throw Error(code, what);
}

}  // namespace gangway
