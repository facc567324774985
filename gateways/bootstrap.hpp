// How an agent is started and greeted: what to run, what to write first, what to make of
// its answer or of its silence. No I/O (spec-docs/bootstrap.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gangway/gateway.hpp>
#include <gangway/native_agent.hpp>
#include <gangway/output.hpp>
#include <gangway/value.hpp>
#include <gangway/xspec.hpp>

#include "channels/connection.hpp"

namespace gangway::detail {

class Bootstrap {
 public:
  /// Throws SpecError for a value that its key cannot have, StartError when there is no
  /// native agent to be found. `cookie`: for where the environment may not get through.
  explicit Bootstrap(const XSpec& spec, NativeAgent native = {}, std::string cookie = {});

  /// Whether the spec asks for the native agent on this machine.
  [[nodiscard]] static bool is_native(const XSpec& spec);

  /// Whether a server starts the agent, and says what that needs to be sent first: there are
  /// neither a command line nor first bytes then.
  [[nodiscard]] static bool is_served(const XSpec& spec);

  /// The command line of the agent, for the machine on which it is to run.
  [[nodiscard]] const std::vector<std::string>& argv() const noexcept { return argv_; }
  /// The end of argv(), without the interpreter: -u [-B] -c STAGE0.
  [[nodiscard]] std::span<const std::string> arguments() const noexcept {
    return std::span(argv_).subspan(argv_.size() - arguments_);
  }
  /// Whether a fork of an agent that has started Python already would be the same (warm_start.hpp).
  [[nodiscard]] bool may_be_forked() const;
  [[nodiscard]] const Nonce& nonce() const noexcept { return nonce_; }
  /// Before the first frame.
  [[nodiscard]] std::string_view first_bytes() const noexcept { return first_bytes_; }
  [[nodiscard]] Value hello() const;
  [[nodiscard]] Multiplexer::Settings settings() const;
  /// What the agent is asked to send on the output channel; empty: there is no such channel.
  [[nodiscard]] std::vector<OutputStream> output_streams() const;
  /// Its id: the first that the controller opens.
  static constexpr std::uint32_t output_channel = 1;

  /// The agent's HELLO. A text returned is the reason why it cannot be used; failure() has
  /// its code then.
  [[nodiscard]] std::optional<std::string> on_hello(const Value& hello);
  [[nodiscard]] boost::system::error_code failure() const noexcept { return failure_; }
  [[nodiscard]] const AgentInfo& info() const noexcept { return info_; }
  [[nodiscard]] std::uint64_t peer_max_item() const noexcept { return peer_max_item_; }
  [[nodiscard]] bool peer_arrays() const noexcept { return peer_arrays_; }

  /// The stream ended before HELLO: why, for the user.
  [[nodiscard]] ConnectionEnd explain(ConnectionEnd end, std::string_view noise) const;
  /// A line with the beginning of what came instead of HELLO; "" when nothing did.
  [[nodiscard]] static std::string shown_noise(std::string_view noise);

 private:
  [[nodiscard]] bool is_refusal(const DeathRecord& death, std::string_view noise) const;

  XSpec spec_;
  NativeAgent native_;
  std::string cookie_;
  std::vector<std::string> argv_;
  std::size_t arguments_ = 0;  // how many of its words are not the interpreter's
  std::string_view first_bytes_;
  Nonce nonce_;
  boost::system::error_code failure_;
  AgentInfo info_;
  std::uint64_t peer_max_item_ = 0;
  bool peer_arrays_ = false;
};

}  // namespace gangway::detail
