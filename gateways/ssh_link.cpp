#include "gateways/ssh_link.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <thread>
#include <utility>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/escape.hpp"
#include "core/trace.hpp"
#include "gateways/fd_stream.hpp"
#include "gateways/ssh_host.hpp"
#include "gateways/ssh_login.hpp"
#include "gateways/stream_bridge.hpp"

namespace gangway::detail {

namespace {

using boost::asio::posix::stream_descriptor;

// libssh reads 4 KiB per round. So many, then whoever reads the channels has a turn.
constexpr int rounds_in_a_row = 64;

std::array<FileDescriptor, 2> make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
    throw_error(last_os_error(), "cannot make a socket: " + last_os_error().message());
  std::array<FileDescriptor, 2> ends{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
  for (FileDescriptor& end : ends)
    if (!avoid_standard_numbers(end)) throw_error(last_os_error(), "cannot make a socket");
  return ends;
}

}  // namespace

SshLink::SshLink(SshHost& host, std::shared_ptr<Runtime> runtime)
    : host_(host.shared_from_this()),
      runtime_(std::move(runtime)),
      socket_(runtime_->io()),
      keepalive_(runtime_->io()),
      idle_(runtime_->io()) {}

// A forked child must not say good-bye in its parent's name.
SshLink::~SshLink() {
  if (!fork_.in_child()) return;
  (void)event_.release();
  (void)session_.release();
}

// --- the login

void SshLink::start(Clock::time_point deadline, const std::shared_ptr<SshChannel>& via) {
  FileDescriptor proxied = open_proxy(via);
  std::thread([self = shared_from_this(), deadline, askpass = host_->askpass_, fd = std::move(proxied)]() mutable {
    self->log_in(deadline, askpass, std::move(fd));
  }).detach();
}

FileDescriptor SshLink::open_proxy(const std::shared_ptr<SshChannel>& via) {
  const SshSettings& settings = host_->settings();
  if (!via && settings.proxy_command.empty()) return {};
  auto [ours, theirs] = make_socket_pair();
  if (via) {
    via_ = via;
    FileDescriptor copy(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 3));
    if (!copy) throw_error(last_os_error(), "cannot make a socket: " + last_os_error().message());
    std::make_shared<StreamBridge>(std::make_unique<SshStream>(via),
                                   std::make_unique<FdStream>(runtime_->io(), std::move(theirs), std::move(copy)))
        ->start(runtime_->io());
    runtime_->keep_going();
  } else {
    // By a shell, as OpenSSH does it. What is put into the command was checked: SshSettings.
    (void)set_nonblocking(theirs.get(), false);
    SpawnRequest request;
    request.argv = {"/bin/sh", "-c", "exec " + settings.proxy_command};
    request.descriptors = {{theirs.get(), STDIN_FILENO}, {theirs.get(), STDOUT_FILENO}};
    proxy_ = ChildProcess::start(request);
  }
  return std::move(ours);
}

void SshLink::log_in(Clock::time_point deadline, const SshAskpass& askpass, FileDescriptor proxied) noexcept {
  const SshSettings& settings = host_->settings();
  try {
    if (settings.connect_timeout) deadline = std::min(deadline, Clock::now() + *settings.connect_timeout);
    logged_in(SshLogin{settings, askpass, *control_, deadline}.run(std::move(proxied)));
  } catch (const Error& problem) {
    login_failed(problem.code(), problem.what());
  } catch (const std::exception& problem) {
    login_failed(errc::host_unreachable, problem.what());
  }
}

void SshLink::login_failed(boost::system::error_code code, const std::string& text) {
  const std::lock_guard lock(host_->mutex_);
  // The way there may know better why there is none.
  const auto why = via_ ? via_->failure() : std::nullopt;
  end(why ? why->code : code, "ssh: " + (why ? why->text : text));
}

void SshLink::logged_in(SshSessionHandle session) {
  const std::lock_guard lock(host_->mutex_);
  if (state_ != State::login) return;
  session_ = std::move(session);
  event_.reset(ssh_event_new());
  FileDescriptor copy(::fcntl(ssh_get_fd(session_.get()), F_DUPFD_CLOEXEC, 3));
  boost::system::error_code error;
  if (!copy || !event_ || ssh_event_add_session(event_.get(), session_.get()) != SSH_OK)
    error = last_os_error();
  else
    socket_.assign(copy.get(), error);
  if (error) return end(error, "ssh: the connection cannot be watched: " + error.message());
  (void)copy.release();
  ssh_set_counters(session_.get(), &traffic_, &packets_);
  banner_ = ssh_banner_of(session_.get());
  state_ = State::up;
  for (const auto& channel : std::vector(channels_))
    if (state_ == State::up && channel->link_.get() == this) begin(channel);
  keep_alive();
  settle();
  runtime_->keep_going();
}

// --- channels

bool SshLink::has_room() const noexcept {
  return state_ != State::over && !full_ && !(host_->most_channels_ && channels_.size() >= *host_->most_channels_);
}

void SshLink::add(const std::shared_ptr<SshChannel>& channel) {
  idle_.cancel();
  channels_.push_back(channel);
  channel->link_ = shared_from_this();
  if (state_ != State::up) return;
  begin(channel);
  settle();
}

void SshLink::begin(const std::shared_ptr<SshChannel>& channel) {
  channel->handle_ = ssh_channel_new(session_.get());
  if (channel->handle_ == nullptr) return end(errc::connection_lost, reason());
  channel->set_callbacks();
  channel->stderr_->add_to_tail(std::exchange(banner_, {}));
  channel->state_ = SshChannel::State::opening;
  advance(channel);
}

void SshLink::advance(const std::shared_ptr<SshChannel>& channel) {
  const SshChannelRequest& request = channel->request_;
  ssh_channel const handle = channel->handle_;
  if (channel->state_ == SshChannel::State::opening) {
    const int opened = request.command.empty() ? ssh_channel_open_forward(handle, request.forward_host.c_str(),
                                                                          request.forward_port, "127.0.0.1", 0)
                                               : ssh_channel_open_session(handle);
    if (opened == SSH_AGAIN) return;
    if (opened != SSH_OK) return refused(channel, escape_for_display(ssh_error_of(session_.get())));
    channel->state_ = SshChannel::State::open;
    channel->answer_pending_ = !request.command.empty();
    if (channel->stream_closed_) (void)ssh_channel_send_eof(handle);
  }
  // What is written now goes out right behind the request: nobody waits for its answer.
  if (channel->answer_pending_ && !channel->closed_there_) {
    const int result = ssh_channel_request_exec(handle, request.command.c_str());
    if (result == SSH_AGAIN) return;
    channel->answer_pending_ = false;
    if (result == SSH_OK || !is_alive(session_.get())) return;
    const std::string text = escape_for_display(ssh_error_of(session_.get()));
    remove(*channel);
    channel->fail(errc::shell_refused,
                  "ssh: " + host_->settings().destination() + " does not run the command: " + text);
  }
}

// MaxSessions, most likely: the others here stay, and this one gets another connection.
void SshLink::refused(const std::shared_ptr<SshChannel>& channel, const std::string& text) {
  if (!is_alive(session_.get())) return;  // pump() will say so
  channel->state_ = SshChannel::State::waiting;
  remove(*channel);
  const bool others = std::any_of(channels_.begin(), channels_.end(),
                                  [](const auto& other) { return other->state_ == SshChannel::State::open; });
  const std::string& destination = host_->settings().destination();
  if (!channel->request_.command.empty() && others) {
    trace::log("ssh ", destination, ": no more channels on one connection than ", channels_.size(), ": ", text);
    full_ = true;
    host_->most_channels_ = channels_.size();
    try {
      host_->assign(channel, host_->deadline_);
      return;
    } catch (const Error& problem) {
      return channel->fail(problem.code(), problem.what());
    }
  }
  if (channel->request_.command.empty())
    channel->fail(errc::host_unreachable, "ssh: " + destination + " cannot connect to " +
                                              channel->request_.forward_host + " port " +
                                              std::to_string(channel->request_.forward_port) + ": " + text);
  else
    channel->fail(errc::server_limit, "ssh: " + destination + " opens no session (MaxSessions): " + text);
}

void SshLink::remove(SshChannel& channel) noexcept {
  const auto found =
      std::find_if(channels_.begin(), channels_.end(), [&](const auto& each) { return each.get() == &channel; });
  if (found == channels_.end()) return;
  channel.link_ = nullptr;
  if (ssh_channel const handle = std::exchange(channel.handle_, nullptr); handle != nullptr) {
    ssh_remove_channel_callbacks(handle, &channel.callbacks_);
    channel.available_ = 0;
    // Freed while it is being opened, it would stay open over there.
    if (channel.state_ == SshChannel::State::opening)
      orphans_.push_back(handle);
    else
      ssh_channel_free(handle);
  }
  channels_.erase(found);
  full_ = false;
  if (!channels_.empty()) return settle();
  if (state_ == State::login)
    end(errc::terminated, "ssh: the login was given up");
  else
    close_when_idle();
}

// --- the connection

bool SshLink::write_pending() const noexcept {
  return session_ && (ssh_get_status(session_.get()) & SSH_WRITE_PENDING) != 0;
}

void SshLink::pump() {
  if (state_ != State::up) return;
  for (int round = 0; round < rounds_in_a_row; ++round) {
    const int result = ssh_event_dopoll(event_.get(), 0);
    if (result == SSH_ERROR || !is_alive(session_.get())) return end(errc::connection_lost, reason());
    // While anything waits we write nothing: what is added are answers.
    if (!write_pending()) packets_written_ = packets_.out_packets;
    if (packets_.out_packets - packets_written_ > limits::ssh_unread_answers)
      return end(errc::protocol_error,
                 "the ssh server of " + host_->settings().destination() + " asks, and does not read the answers");
    if (result == SSH_AGAIN) return;
  }
}

void SshLink::settle() noexcept {
  if (state_ != State::up || std::exchange(settling_, true)) return;
  const auto self = shared_from_this();
  try {
    for (const auto& channel : std::vector(channels_))
      if (state_ == State::up && channel->link_.get() == this) advance(channel);
    if (state_ == State::up && !is_alive(session_.get())) end(errc::connection_lost, reason());
    if (state_ == State::up) {
      std::erase_if(orphans_, [](ssh_channel orphan) {
        if (ssh_channel_is_open(orphan) == 0) return false;
        ssh_channel_free(orphan);
        return true;
      });
      for (const auto& channel : channels_) channel->tell();
      watch();
    }
  } catch (const std::exception& problem) {
    end(errc::connection_lost, problem.what());
  }
  settling_ = false;
}

void SshLink::watch() {
  const auto ready = [self = shared_from_this()](bool SshLink::*waiting) {
    return [self, waiting](boost::system::error_code error) {
      const std::lock_guard lock(self->host_->mutex_);
      (*self).*waiting = false;
      if (error || self->state_ != State::up) return;
      self->pump();
      self->settle();
    };
  };
  if (!std::exchange(reading_, true)) socket_.async_wait(stream_descriptor::wait_read, ready(&SshLink::reading_));
  if (!write_pending()) return;
  if (!std::exchange(writing_, true)) socket_.async_wait(stream_descriptor::wait_write, ready(&SshLink::writing_));
  runtime_->keep_going();
}

// A request that must be answered, as OpenSSH's ServerAliveInterval sends it: through jumps and
// proxies nobody else would notice that the far end is gone. Where the connection is our own, the
// kernel may notice first (TCP_USER_TIMEOUT), since there is something to acknowledge.
void SshLink::keep_alive() {
  const auto interval = host_->settings().keepalive;
  if (interval <= interval.zero() || state_ != State::up) return;
  keepalive_.expires_after(interval);
  keepalive_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    const std::lock_guard lock(self->host_->mutex_);
    self->pump();
    self->ask_whether_alive();
    self->settle();
    self->keep_alive();
  });
}

void SshLink::ask_whether_alive() {
  if (state_ != State::up) return;
  silent_ = std::exchange(heard_, traffic_.in_bytes) == traffic_.in_bytes ? silent_ + 1 : 0;
  if (silent_ >= limits::silent_intervals) {
    const double seconds = std::chrono::duration<double>(silent_ * host_->settings().keepalive).count();
    std::ostringstream text;
    text << "the ssh connection to " << host_->settings().destination() << " was lost: no answer for " << seconds
         << " s";
    return end(errc::connection_lost, text.str());
  }
  // The first call takes the answer to the last request, if it has come; the second one sends.
  for (int call = 0; call < 2; ++call) (void)ssh_send_keepalive(session_.get());
}

void SshLink::close_when_idle() {
  idle_.expires_after(limits::ssh_idle);
  idle_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    const std::lock_guard lock(self->host_->mutex_);
    if (self->channels_.empty()) self->end(errc::terminated, "ssh: nobody needs the connection any more");
  });
  settle();
  runtime_->keep_going();
}

std::string SshLink::reason() const {
  if (const auto why = via_ ? via_->failure() : std::nullopt) return why->text;
  std::string why = ssh_error_of(session_.get());  // which the question for a message may overwrite
  if (const char* const said = ssh_get_disconnect_message(session_.get()); said != nullptr && *said != '\0') why = said;
  return "the ssh connection to " + host_->settings().destination() + " was lost: " + escape_for_display(why);
}

void SshLink::end(boost::system::error_code code, const std::string& text) noexcept {
  if (std::exchange(state_, State::over) == State::over) return;
  const auto self = shared_from_this();
  trace::log("ssh ", host_->settings().destination(), ": ", text);
  control_->cancel();
  keepalive_.cancel();
  idle_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
  for (const auto& channel : std::exchange(channels_, {})) {
    if (channel->handle_ != nullptr) ssh_remove_channel_callbacks(channel->handle_, &channel->callbacks_);
    channel->fail(code, text);
  }
  if (session_) {
    // One round, so that the socket is known to be writable: the good-bye is not waited for.
    if (event_) (void)ssh_event_dopoll(event_.get(), 0);
    if (ssh_is_connected(session_.get())) {
      const FileDescriptor given(ssh_get_fd(session_.get()));  // ssh_disconnect leaves it to its giver
      ssh_disconnect(session_.get());
    }
    if (event_) ssh_event_remove_session(event_.get(), session_.get());
  }
  event_.reset();
  session_.reset();
  if (const auto via = std::exchange(via_, nullptr)) via->abandon();
  proxy_.signal_group(SIGKILL);
  (void)proxy_.try_reap();
  std::erase(host_->links_, self);
}

}  // namespace gangway::detail
