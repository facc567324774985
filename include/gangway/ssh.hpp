// What an ssh login may have to ask somebody: a password, the passphrase of a key, a code.
//
// Neither stands in a spec. Group::set_ssh_askpass gives a function that knows, or asks; without
// one the program that SSH_ASKPASS names is run, as by ssh(1), and without that nobody is asked.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace gangway {

struct SshPrompt {
  enum class Kind {
    passphrase,            // of the key in `key_file`
    password,              // of the user on the host
    keyboard_interactive,  // whatever the host wants to know; `text` is its own, escaped for display
  };
  Kind kind;
  std::string text;         // to be shown: "user@host's password: "
  std::string destination;  // "user@host", with the port unless it is 22
  std::string key_file;
  bool echo = false;  // whether the answer may be seen while it is typed
};

/// Called on a thread of the login's own, which it may block until the connect_timeout; several
/// logins may ask at the same time. Nothing: there is no answer, and that way of logging in is
/// given up. What it throws counts as no answer.
using SshAskpass = std::function<std::optional<std::string>(const SshPrompt&)>;

}  // namespace gangway
