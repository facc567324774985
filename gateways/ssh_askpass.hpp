// Who is asked for passwords and passphrases: the program's own function, or $SSH_ASKPASS.
#pragma once

#include <optional>
#include <string>

#include <gangway/ssh.hpp>

#include "gateways/ssh_login_control.hpp"

namespace gangway::detail {

/// An answer that is not left behind in memory.
class Secret {
 public:
  explicit Secret(std::string text) noexcept : text_(std::move(text)) {}
  Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }
  Secret& operator=(Secret&&) = delete;
  ~Secret() { wipe(); }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  void wipe() noexcept;
  std::string text_;
};

/// Whether there is anybody to be asked.
[[nodiscard]] bool can_ask(const SshAskpass& askpass);

/// Blocks. Nothing: nobody knows, or the login is over.
[[nodiscard]] std::optional<Secret> ask(const SshAskpass& askpass, const SshPrompt& prompt, SshLoginControl& control);

}  // namespace gangway::detail
