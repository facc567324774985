// A channel on an ssh connection: a command over there, or a TCP connection from there on. It
// exists before the connection does, and outlives it.
//
// Thread rule: any thread; what it was given to call is called on the leading thread, without
// locks. Everything is guarded by the mutex of its SshHost. spec-docs/ssh.md
#pragma once

#include <sys/uio.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <gangway/death_record.hpp>

#include "channels/connection.hpp"
#include "core/byte_stream.hpp"
#include "gateways/line_relay.hpp"
#include "gateways/ssh_handles.hpp"

namespace gangway::detail {

class SshHost;
class SshLink;

struct SshChannelRequest {
  std::string command;       // to be run by the login shell, or
  std::string forward_host;  // to be connected to
  int forward_port = 0;
};

class SshChannel : public std::enable_shared_from_this<SshChannel> {
 public:
  using ReadyHandler = ByteStream::ReadyHandler;

  SshChannel(std::shared_ptr<SshHost> host, SshChannelRequest request);

  // Of its stream, as byte_stream.hpp has them. Closing that is the end of the far side's stdin;
  // how its process ends is still told.
  [[nodiscard]] std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error);
  [[nodiscard]] std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error);
  void wait_readable(ReadyHandler handler);
  void wait_writable(ReadyHandler handler);
  void close_stream() noexcept;

  /// `on_end` is called once, when ended() has become true.
  void on_end(std::function<void()> on_end);
  [[nodiscard]] LineRelay& stderr_lines() noexcept { return *stderr_; }
  /// The far side has closed the channel, its process has ended and written all, or there is no
  /// connection.
  [[nodiscard]] bool ended();
  [[nodiscard]] DeathRecord death();
  [[nodiscard]] std::optional<ConnectionEnd> failure();

  /// Signals the process group of the far side's command ("TERM", "KILL"). False: there is none yet.
  bool signal(const char* name) noexcept;
  /// Gives it up: closed on this side, whatever the far side does.
  void abandon() noexcept;

 private:
  friend class SshHost;
  friend class SshLink;

  enum class State {
    waiting,  // for a connection
    opening,
    open,  // the command is on its way, or runs
    over,
  };

  // With the host's mutex held.
  [[nodiscard]] bool has_ended() const noexcept;
  [[nodiscard]] bool is_readable() const noexcept;
  [[nodiscard]] bool is_writable() const noexcept;
  void tell();
  void wait_for_last_bytes();
  void fail(boost::system::error_code code, const std::string& text);
  void set_callbacks();
  static int on_data(ssh_session, ssh_channel, void* data, std::uint32_t size, int is_stderr, void* self);

  const std::shared_ptr<SshHost> host_;
  const SshChannelRequest request_;
  const std::shared_ptr<LineRelay> stderr_ = std::make_shared<LineRelay>();

  State state_ = State::waiting;
  std::shared_ptr<SshLink> link_;
  ssh_channel handle_ = nullptr;  // libssh's, from `opening` on
  ssh_channel_callbacks_struct callbacks_{};
  bool answer_pending_ = false;  // to the request that runs the command
  std::size_t available_ = 0;    // bytes that libssh holds for read()
  bool eof_ = false;
  bool closed_there_ = false;
  std::uint64_t received_ = 0;  // of stdout, all in all
  bool awaiting_last_ = false;  // the process has ended, and its output has not
  bool held_open_ = false;      // nor will it: somebody else holds it
  bool stream_closed_ = false;
  bool killed_here_ = false;
  std::optional<int> exit_status_;
  std::optional<int> signal_;
  std::optional<ConnectionEnd> failure_;
  ReadyHandler on_readable_;
  ReadyHandler on_writable_;
  std::function<void()> on_end_;
};

/// The byte stream of a channel.
class SshStream final : public ByteStream {
 public:
  explicit SshStream(std::shared_ptr<SshChannel> channel) : channel_(std::move(channel)) {}

  [[nodiscard]] std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override {
    return channel_->read(buffers, error);
  }
  [[nodiscard]] std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override {
    return channel_->write(buffers, error);
  }
  void wait_readable(ReadyHandler handler) override { channel_->wait_readable(std::move(handler)); }
  void wait_writable(ReadyHandler handler) override { channel_->wait_writable(std::move(handler)); }
  void close() noexcept override { channel_->close_stream(); }

 private:
  const std::shared_ptr<SshChannel> channel_;
};

}  // namespace gangway::detail
