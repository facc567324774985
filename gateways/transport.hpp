// What carries the bytes of a gateway, and knows how its far side ended: a child process and
// its pipes, an ssh channel, a socket, a channel of another gateway.
//
// Opening one never waits: what takes time (a name, a login, the start of a process on another
// host) goes on behind the stream, which takes and gives nothing until then (would_block), and
// fails if it comes to nothing; failure() says why.
//
// Thread rule: on_end is called on the leading thread, without locks; everything else may be
// called by any thread, at the same time, and none of it blocks.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gangway/death_record.hpp>

#include "channels/connection.hpp"
#include "core/byte_stream.hpp"
#include "gateways/output_sink.hpp"

namespace gangway::detail {

class GatewayState;

class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  /// For the connection. Called once, first.
  [[nodiscard]] virtual std::unique_ptr<ByteStream> take_stream() = 0;
  /// `on_end` is called once, when ended() has become true. What the far side writes to its
  /// stderr goes to `sink`, as of `gateway`, where the transport carries it. Called once.
  virtual void watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) = 0;

  /// The connection has come to the end of its stream. Unless the agent was `asked` to end, what takes a
  /// question to learn how it did is asked now: on_end comes afterwards.
  virtual void on_stream_end(bool /*asked*/) noexcept {}

  /// The agent's own pid, as it says in its HELLO; of use on this machine only.
  virtual void set_worker(pid_t /*pid*/) {}
  /// The process on this machine whose end is the gateway's; -1 when there is none.
  [[nodiscard]] virtual pid_t pid() const noexcept { return -1; }
  /// For the trace: "pid 4711", "ssh user@host".
  [[nodiscard]] virtual std::string description() const = 0;

  /// The gateway that carries it (`via`); none: it stands on its own.
  [[nodiscard]] virtual std::shared_ptr<GatewayState> hop() const { return nullptr; }

  /// Nothing of it is left to wait for, on this machine at least.
  [[nodiscard]] virtual bool ended() = 0;
  /// What is known of the end of the far side's process, and the end of its stderr.
  [[nodiscard]] virtual DeathRecord death() = 0;
  /// Why the stream failed when that was the transport's own doing (no such host, the login was
  /// refused, the link is dead): code and text for the user, without the gateway's name.
  [[nodiscard]] virtual std::optional<ConnectionEnd> failure() { return {}; }

  /// Has the agent's processes killed over there, as its keeper would at the end of the link.
  virtual void ask_keeper() noexcept = 0;
  /// Kills what can be killed from here, and gives up the rest.
  virtual void kill() noexcept = 0;
  /// Lets go of everything but what death() and failure() tell. Idempotent.
  virtual void close() noexcept = 0;
};

}  // namespace gangway::detail
