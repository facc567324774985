// The secret that a client and a socket server share: out of a file or the environment, never out
// of a command line or a spec, which others can see.
#pragma once

#include <optional>
#include <string>

namespace gangway::detail {

/// A value whose memory is overwritten when it goes.
class Secret {
 public:
  /// Throws Error (bad_argument) when it is too short to be one, or too long.
  explicit Secret(std::string text);
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret();

  /// The text of a file without blanks around it. Throws Error that says what to do when it cannot
  /// be read, or others than its owner (this user, or root) can get at it.
  [[nodiscard]] static Secret from_file(const std::string& path);
  /// GANGWAY_SECRET; else from the file that GANGWAY_SECRET_FILE names. Throws as above.
  [[nodiscard]] static std::optional<Secret> from_environment();

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// The variable with the secret itself. No agent inherits it.
inline constexpr const char* secret_variable = "GANGWAY_SECRET";
inline constexpr const char* secret_file_variable = "GANGWAY_SECRET_FILE";

}  // namespace gangway::detail
