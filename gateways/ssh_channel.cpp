#include "gateways/ssh_channel.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "gateways/ssh_host.hpp"
#include "gateways/ssh_link.hpp"
#include "gateways/ssh_signals.hpp"

namespace gangway::detail {

namespace {

using boost::system::error_code;

// One call of write(): so much is copied together, that headers and payloads are one packet. What
// libssh has taken it keeps, so it is not given more than the socket may take at once.
constexpr std::size_t write_size = 64 * 1024;

constexpr std::chrono::milliseconds last_bytes_patience{300};

}  // namespace

SshChannel::SshChannel(std::shared_ptr<SshHost> host, SshChannelRequest request)
    : host_(std::move(host)), request_(std::move(request)) {}

// --- the stream

std::size_t SshChannel::read(std::span<const iovec> buffers, error_code& error) {
  const std::lock_guard lock(host_->mutex_);
  error = {};
  std::size_t total = 0;
  for (const iovec& buffer : buffers) {
    auto* at = static_cast<char*>(buffer.iov_base);
    std::size_t room = buffer.iov_len;
    while (room > 0 && available_ > 0 && handle_ != nullptr) {
      // Never more than is there: libssh would widen the window, and look at the socket.
      const auto size = static_cast<std::uint32_t>(std::min({room, available_, std::size_t{1} << 20}));
      const int got = ssh_channel_read_timeout(handle_, at, size, 0, 0);
      if (got <= 0) {
        available_ = 0;
        break;
      }
      available_ -= std::min(available_, static_cast<std::size_t>(got));
      at += got;
      room -= static_cast<std::size_t>(got);
      total += static_cast<std::size_t>(got);
    }
  }
  if (total > 0) {
    if (link_) link_->settle();  // the window may have been opened again
    return total;
  }
  if (state_ == State::over && failure_)
    error = failure_->code;
  else if (!eof_ && state_ != State::over)
    error = boost::asio::error::would_block;
  return 0;
}

std::size_t SshChannel::write(std::span<const iovec> buffers, error_code& error) {
  const std::lock_guard lock(host_->mutex_);
  error = {};
  if (state_ == State::over || closed_there_ || stream_closed_) {
    error = boost::asio::error::broken_pipe;
    return 0;
  }
  if (state_ == State::open && link_->write_pending()) link_->pump();
  if (state_ != State::open || !is_writable()) {
    error = state_ == State::over ? error_code(boost::asio::error::broken_pipe) : boost::asio::error::would_block;
    return 0;
  }
  std::array<char, write_size> together;
  std::size_t size = 0;
  for (const iovec& buffer : buffers) {
    const std::size_t part = std::min(buffer.iov_len, together.size() - size);
    std::memcpy(together.data() + size, buffer.iov_base, part);
    size += part;
    if (size == together.size()) break;
  }
  const int written = ssh_channel_write(handle_, together.data(), static_cast<std::uint32_t>(size));
  if (link_->write_pending()) link_->pump();
  if (link_) link_->settle();
  if (written > 0) return static_cast<std::size_t>(written);
  if (written < 0 && state_ != State::open)
    error = boost::asio::error::broken_pipe;
  else
    error = boost::asio::error::would_block;
  return 0;
}

void SshChannel::wait_readable(ReadyHandler handler) {
  const std::lock_guard lock(host_->mutex_);
  on_readable_ = std::move(handler);
  tell();
}

void SshChannel::wait_writable(ReadyHandler handler) {
  const std::lock_guard lock(host_->mutex_);
  on_writable_ = std::move(handler);
  tell();
}

void SshChannel::close_stream() noexcept {
  const std::lock_guard lock(host_->mutex_);
  if (std::exchange(stream_closed_, true)) return;
  if (state_ == State::open && !closed_there_) {
    (void)ssh_channel_send_eof(handle_);
    link_->settle();
  }
  tell();
}

// --- the end

void SshChannel::on_end(std::function<void()> on_end) {
  const std::lock_guard lock(host_->mutex_);
  on_end_ = std::move(on_end);
  tell();
}

bool SshChannel::ended() {
  const std::lock_guard lock(host_->mutex_);
  return has_ended();
}

DeathRecord SshChannel::death() {
  DeathRecord record;
  record.stderr_tail = stderr_->tail();
  const std::lock_guard lock(host_->mutex_);
  record.exit_status = exit_status_;
  record.signal = signal_;
  record.killed_here = killed_here_ && signal_.has_value();
  return record;
}

std::optional<ConnectionEnd> SshChannel::failure() {
  const std::lock_guard lock(host_->mutex_);
  return failure_;
}

bool SshChannel::signal(const char* name) noexcept {
  const std::lock_guard lock(host_->mutex_);
  if (has_ended()) return true;
  if (state_ != State::open || answer_pending_) return false;  // libssh has one request at a time
  killed_here_ = true;
  (void)ssh_channel_request_send_signal(handle_, name);
  if (link_) link_->settle();
  return true;
}

void SshChannel::abandon() noexcept {
  const std::lock_guard lock(host_->mutex_);
  if (state_ == State::over) return;
  killed_here_ = killed_here_ || !has_ended();
  if (const auto link = link_) link->remove(*this);
  state_ = State::over;
  tell();
}

bool SshChannel::has_ended() const noexcept {
  return state_ == State::over || closed_there_ || ((exit_status_ || signal_) && (eof_ || held_open_));
}

bool SshChannel::is_readable() const noexcept { return available_ > 0 || eof_ || state_ == State::over; }

bool SshChannel::is_writable() const noexcept {
  if (state_ == State::over || closed_there_) return true;  // it fails, which is news
  return state_ == State::open && !link_->write_pending() && ssh_channel_window_size(handle_) > 0;
}

// Whoever waits is told by way of the io_context: he will want the mutexes.
void SshChannel::tell() {
  auto& io = host_->runtime_->io();
  bool told = false;
  const auto post = [&](ReadyHandler& handler, error_code error) {
    boost::asio::post(io, [handler = std::exchange(handler, nullptr), error] { handler(error); });
    told = true;
  };
  const error_code aborted = boost::asio::error::operation_aborted;
  if (on_readable_ && (stream_closed_ || is_readable())) post(on_readable_, stream_closed_ ? aborted : error_code());
  if (on_writable_ && (stream_closed_ || is_writable())) post(on_writable_, stream_closed_ ? aborted : error_code());
  if (on_end_ && has_ended()) {
    boost::asio::post(io, std::exchange(on_end_, nullptr));
    told = true;
  }
  if (told) host_->runtime_->keep_going();
  if ((exit_status_ || signal_) && !has_ended() && !std::exchange(awaiting_last_, true)) wait_for_last_bytes();
}

// The status of a process may come before its last bytes. The end of these does not come at all
// while a child of its holds stderr: then silence is the end.
void SshChannel::wait_for_last_bytes() {
  const auto timer = std::make_shared<boost::asio::steady_timer>(host_->runtime_->io(), last_bytes_patience);
  timer->async_wait([self = shared_from_this(), timer, before = received_](error_code) {
    const std::lock_guard lock(self->host_->mutex_);
    if (self->has_ended()) return;
    if (self->received_ != before) return self->wait_for_last_bytes();
    self->held_open_ = true;
    self->tell();
  });
}

void SshChannel::fail(error_code code, const std::string& text) {
  if (state_ == State::over) return;
  if (!has_ended()) failure_ = ConnectionEnd{code, text, {}};
  state_ = State::over;
  link_ = nullptr;
  handle_ = nullptr;
  available_ = 0;
  tell();
}

// --- what libssh tells, in the midst of its work: note it, and no more

int SshChannel::on_data(ssh_session, ssh_channel, void* data, std::uint32_t size, int is_stderr, void* self) {
  auto& channel = *static_cast<SshChannel*>(self);
  if (is_stderr != 0) {
    try {
      channel.stderr_->add({static_cast<const char*>(data), size});
    } catch (const std::exception&) {  // no memory for it
    }
    return static_cast<int>(size);
  }
  channel.received_ += size - channel.available_;
  channel.available_ = size;  // it stays with libssh until read() wants it
  return 0;
}

void SshChannel::set_callbacks() {
  callbacks_ = {};
  callbacks_.userdata = this;
  callbacks_.channel_data_function = on_data;
  callbacks_.channel_eof_function = [](ssh_session, ssh_channel, void* self) {
    static_cast<SshChannel*>(self)->eof_ = true;
  };
  callbacks_.channel_close_function = [](ssh_session, ssh_channel, void* self) {
    auto& channel = *static_cast<SshChannel*>(self);
    channel.eof_ = channel.closed_there_ = true;
  };
  callbacks_.channel_exit_status_function = [](ssh_session, ssh_channel, int status, void* self) {
    static_cast<SshChannel*>(self)->exit_status_ = status;
  };
  callbacks_.channel_exit_signal_function = [](ssh_session, ssh_channel, const char* signal, int, const char*,
                                               const char*, void* self) {
    static_cast<SshChannel*>(self)->signal_ = signal_named(signal != nullptr ? signal : "");
  };
  ssh_callbacks_init(&callbacks_);
  ssh_set_channel_callbacks(handle_, &callbacks_);
}

}  // namespace gangway::detail
