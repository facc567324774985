// How a call of the API came out: its exceptions and error codes as one kind of value.
#pragma once

#include <string>

#include <gangway/error.hpp>

namespace gangway::nemesis {

struct Outcome {
  enum Kind {
    done,
    timed_out,  // text: whether something is still on its way
    cancelled,
    clean_end,     // EndOfChannel
    closed,        // ChannelClosed
    remote_error,  // RemoteError
    lost,          // ConnectionLost, terminated included
    has_callback,
    unexpected,  // everything else, protocol errors included
  };
  Kind kind = done;
  std::string text;

  [[nodiscard]] static Outcome of(boost::system::error_code error, const std::string& text = {});
  explicit operator bool() const { return kind == done; }
};

/// Calls, and gives what it threw.
template <class Call>
[[nodiscard]] Outcome attempt(Call call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    return Outcome::of(error.code(), error.what());
  } catch (const std::exception& error) {
    return {Outcome::unexpected, error.what()};
  }
}

/// "done", "timed out: ...", cut where it gets long.
[[nodiscard]] std::string to_string(const Outcome& outcome);

}  // namespace gangway::nemesis
