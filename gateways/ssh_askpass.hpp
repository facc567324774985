// Who is asked for passwords and passphrases: the program's own function, or $SSH_ASKPASS.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <gangway/ssh.hpp>

#include "gateways/ssh_login_control.hpp"

namespace gangway::detail {

/// An answer that is not left behind in memory.
class SshAnswer {
 public:
  explicit SshAnswer(std::string_view text) : text_(text) {}
  SshAnswer(SshAnswer&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }
  SshAnswer& operator=(SshAnswer&&) = delete;
  ~SshAnswer() { wipe(); }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  void wipe() noexcept;
  std::string text_;
};

/// Whether there is anybody to be asked.
[[nodiscard]] bool can_ask(const SshAskpass& askpass);

/// Blocks. Nothing: nobody knows, or the login is over.
[[nodiscard]] std::optional<SshAnswer> ask(const SshAskpass& askpass, const SshPrompt& prompt,
                                           SshLoginControl& control);

}  // namespace gangway::detail
