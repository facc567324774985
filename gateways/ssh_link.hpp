// One ssh connection and its channels: the strand of a libssh session.
//
// Thread rule: every member is called with the mutex of the SshHost held, unless it says
// otherwise. libssh's session is touched nowhere else, once the login is over.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gangway/ssh.hpp>

#include "core/fork_guard.hpp"
#include "core/process.hpp"
#include "core/runtime.hpp"
#include "gateways/ssh_channel.hpp"
#include "gateways/ssh_handles.hpp"
#include "gateways/ssh_login_control.hpp"

namespace gangway::detail {

class SshHost;

class SshLink : public std::enable_shared_from_this<SshLink> {
 public:
  SshLink(SshHost& host, std::shared_ptr<Runtime> runtime);
  ~SshLink();

  /// Logs in, on a thread of its own. `via`: a channel of the host to jump through.
  void start(Clock::time_point deadline, const std::shared_ptr<SshChannel>& via);

  /// Room for one more channel, as far as is known.
  [[nodiscard]] bool has_room() const noexcept;
  void add(const std::shared_ptr<SshChannel>& channel);
  /// Closes the channel on this side. The last one's end is soon the connection's, too.
  void remove(SshChannel& channel) noexcept;
  /// Ends the connection; its channels get the reason.
  void end(boost::system::error_code code, const std::string& text) noexcept;

  /// What was done to a channel may have to go out, or may have brought something in.
  void settle() noexcept;
  [[nodiscard]] bool write_pending() const noexcept;
  /// Lets libssh write and read what can be without waiting.
  void pump();

 private:
  friend class SshChannel;
  enum class State { login, up, over };

  [[nodiscard]] FileDescriptor open_proxy(const std::shared_ptr<SshChannel>& via);
  void log_in(Clock::time_point deadline, const SshAskpass& askpass, FileDescriptor proxied) noexcept;  // the thread
  void logged_in(SshSessionHandle session);                                                             // likewise
  void login_failed(boost::system::error_code code, const std::string& text);                           // likewise
  void begin(const std::shared_ptr<SshChannel>& channel);
  void advance(const std::shared_ptr<SshChannel>& channel);
  void refused(const std::shared_ptr<SshChannel>& channel, const std::string& text);
  void watch();
  void keep_alive();
  void ask_whether_alive();
  void close_when_idle();
  [[nodiscard]] std::string reason() const;

  const std::shared_ptr<SshHost> host_;
  const std::shared_ptr<Runtime> runtime_;
  const ForkGuard fork_;
  const std::shared_ptr<SshLoginControl> control_ = std::make_shared<SshLoginControl>();

  State state_ = State::login;
  SshSessionHandle session_;
  SshEvent event_;
  boost::asio::posix::stream_descriptor socket_;  // a copy of the session's
  boost::asio::steady_timer keepalive_;
  boost::asio::steady_timer idle_;
  ssh_counter_struct traffic_{};
  ssh_counter_struct packets_{};
  std::uint64_t packets_written_ = 0;  // of packets_.out_packets, when nothing waited
  std::uint64_t heard_ = 0;            // of traffic_.in_bytes, when it was last looked at
  int silent_ = 0;                     // so many intervals without a byte
  bool reading_ = false;               // a wait for readability is out
  bool writing_ = false;
  bool full_ = false;  // the server has refused a channel
  bool settling_ = false;
  std::vector<std::shared_ptr<SshChannel>> channels_;
  std::string banner_;                // until a channel has it for its diagnostics, as by OpenSSH's client
  std::vector<ssh_channel> orphans_;  // given up while they were being opened
  ChildProcess proxy_;                // of a ProxyCommand
  std::shared_ptr<SshChannel> via_;
};

}  // namespace gangway::detail
