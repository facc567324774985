#include "gateways/socket_transport.hpp"

#include <sys/socket.h>

#include <boost/asio/post.hpp>

#include <cerrno>
#include <utility>

#include <gangway/limits.hpp>

#include "core/trace.hpp"

namespace gangway::detail {

using boost::system::error_code;

namespace {

// TCP has waited in vain, or the last hop says that nobody is there any more.
bool is_dead_link(const error_code& error) {
  return error.category() == boost::system::system_category() &&
         (error.value() == ETIMEDOUT || error.value() == EHOSTUNREACH || error.value() == ENETUNREACH);
}

}  // namespace

SocketTransport::SocketTransport(std::shared_ptr<Runtime> runtime, SocketOpening::Plan plan)
    : runtime_(std::move(runtime)),
      name_(plan.name),
      door_(std::make_shared<DeferredStream::Door>(runtime_->io())),
      plan_(std::move(plan)) {}

std::unique_ptr<ByteStream> SocketTransport::take_stream() {
  DeferredStream::Observer observer;
  observer.on_end = [weak = weak_from_this()](error_code error) {
    if (const auto self = weak.lock()) self->on_last_byte(error);
  };
  observer.on_close = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_stream_closed();
  };
  return std::make_unique<DeferredStream>(door_, std::move(observer));
}

void SocketTransport::watch(std::function<void()> on_end, std::string /*gateway*/, std::shared_ptr<OutputSink>) {
  SocketOpening::Owner owner;
  owner.on_connected = [weak = weak_from_this()](FileDescriptor socket, const SocketAddress& address) {
    if (const auto self = weak.lock()) self->on_connected(std::move(socket), address);
  };
  owner.on_open = [weak = weak_from_this(), door = door_](std::unique_ptr<ByteStream> stream,
                                                          const ServerReply& reply) {
    if (const auto self = weak.lock()) self->on_reply(reply);
    door->open(std::move(stream));
  };
  owner.on_failure = [weak = weak_from_this()](ConnectionEnd end) {
    if (const auto self = weak.lock()) self->on_failure(std::move(end));
  };
  const std::lock_guard lock(mutex_);
  on_end_ = std::move(on_end);
  question_.name = plan_.name;
  question_.secret = plan_.secret;
  question_.keepalive = plan_.keepalive;
  question_.patience = limits::death_asked;
  opening_ = std::make_shared<SocketOpening>(runtime_, std::move(plan_), std::move(owner));
  opening_->start();
}

bool SocketTransport::ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

std::optional<ConnectionEnd> SocketTransport::failure() {
  const std::lock_guard lock(mutex_);
  if (failure_ || !opening_) return failure_;
  if (std::string waiting = opening_->waiting_for(); !waiting.empty())
    return ConnectionEnd{errc::bootstrap_timeout, std::move(waiting), {}};
  return {};
}

DeathRecord SocketTransport::death() {
  const std::lock_guard lock(mutex_);
  return death_;
}

void SocketTransport::on_connected(FileDescriptor socket, const SocketAddress& address) {
  const std::lock_guard lock(mutex_);
  question_.addresses = {address};
  if (!ended_) socket_ = std::move(socket);
}

void SocketTransport::on_reply(const ServerReply& reply) {
  const std::lock_guard lock(mutex_);
  question_.request.death_of = reply.token;
}

void SocketTransport::on_failure(ConnectionEnd end) {
  const error_code code = end.code;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(end);
  }
  door_->fail(code);
}

void SocketTransport::on_last_byte(error_code error) {
  std::unique_lock lock(mutex_);
  if (!failure_ && !ended_) {
    if (is_dead_link(error))
      failure_ =
          ConnectionEnd{errc::connection_lost, "the link to " + name_ + " is dead: nothing came back in time", {}};
    else if (error == error_code(EBADMSG, boost::system::system_category()))
      failure_ = ConnectionEnd{errc::connection_lost, "what came from " + name_ + " was changed on the way (TLS)", {}};
  }
  if (failure_ || question_.request.death_of.empty()) return end(lock);
  stream_over_ = !ended_;
}

void SocketTransport::on_stream_closed() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (stream_over_) return;
  }
  hang_up();
}

void SocketTransport::on_stream_end(bool asked) noexcept {
  std::unique_lock lock(mutex_);
  if (ended_ || !stream_over_) return;
  socket_.reset();
  if (asked) return end(lock);
  try {
    inquiry_ = std::make_shared<DeathInquiry>(runtime_, std::move(question_),
                                              [weak = weak_from_this()](std::optional<DeathRecord> record) {
                                                if (const auto self = weak.lock()) self->on_answer(std::move(record));
                                              });
    inquiry_->start();
  } catch (const std::exception& problem) {  // memory, most likely
    trace::log(name_, " is not asked how the agent has ended: ", problem.what());
    end(lock);
  }
}

void SocketTransport::on_answer(std::optional<DeathRecord> record) {
  std::unique_lock lock(mutex_);
  if (record && !ended_) death_ = std::move(*record);
  end(lock);
}

void SocketTransport::ask_keeper() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (stream_over_) return;
  }
  kill();
}

void SocketTransport::kill() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_ && !ended_ && !stream_over_)
      failure_ = ConnectionEnd{errc::connection_lost, "the connection to " + name_ + " was closed by this program", {}};
  }
  hang_up();
}

void SocketTransport::hang_up() noexcept {
  std::unique_lock lock(mutex_);
  if (socket_) ::shutdown(socket_.get(), SHUT_RDWR);
  end(lock);
}

void SocketTransport::end(std::unique_lock<std::mutex>& lock) {
  if (std::exchange(ended_, true)) return;
  const auto on_end = std::exchange(on_end_, nullptr);
  const auto opening = opening_;
  const auto inquiry = std::move(inquiry_);
  socket_.reset();
  lock.unlock();
  if (opening) opening->cancel();
  if (inquiry) inquiry->cancel();
  if (!on_end) return;
  boost::asio::post(runtime_->io(), on_end);
  runtime_->keep_going();
}

}  // namespace gangway::detail
