// What a client and a socket server say before the first frame: one line each
// (spec-docs/sockets.md). The client's is a Python string, so that a plain execnet server, which
// executes the first line that it gets, answers it, too.
//
// No I/O. Both parsers read what a stranger has written.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <gangway/death_record.hpp>

namespace gangway::detail {

/// What the client asks for.
struct ServerRequest {
  bool write_bytecode = true;
  bool wants_token = false;   // which asks how the agent has ended, when it has
  std::string death_of = {};  // such a token: the question itself, instead of a connection with an agent

  /// With its line feed.
  [[nodiscard]] std::string line() const;
  /// Without the line feed; nothing when it is none. Words that are not known are passed over.
  [[nodiscard]] static std::optional<ServerRequest> parse(std::string_view line);
  /// How every request begins, of whatever version.
  static constexpr std::string_view prefix = "'# gangway ";

  friend bool operator==(const ServerRequest&, const ServerRequest&) = default;
};

/// What the server makes of it.
struct ServerReply {
  enum class Kind {
    native,    // an agent listens: HELLO
    portable,  // an interpreter waits for the bundle
    execnet,   // an execnet server: a line with the start of an interpreter, then as `portable`
    refused,   // text says why
    death,     // how an agent has ended; that many bytes of its stderr follow the line
  };
  Kind kind = Kind::refused;
  std::string text;
  std::string token = {};  // of the connection; may be empty
  DeathRecord death = {};  // without the stderr
  std::size_t stderr_size = 0;

  /// With its line feed; a text that is too long is cut.
  [[nodiscard]] std::string line() const;
  [[nodiscard]] static std::optional<ServerReply> parse(std::string_view line);

  friend bool operator==(const ServerReply&, const ServerReply&) = default;
};

/// Names a connection to its server and nobody else: what a client and a server have drawn by lot.
[[nodiscard]] bool is_token(std::string_view text) noexcept;

/// For an execnet server, after its reply: starts the portable agent's stage 0 in an interpreter of
/// its own, as the server's, on the connection. One line.
[[nodiscard]] std::string execnet_start_line(std::string_view stage0, bool write_bytecode);

}  // namespace gangway::detail
