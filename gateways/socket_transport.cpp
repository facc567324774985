#include "gateways/socket_transport.hpp"

#include <sys/socket.h>

#include <utility>

namespace gangway::detail {

using boost::system::error_code;

SocketTransport::SocketTransport(std::shared_ptr<Runtime> runtime, SocketOpening::Plan plan)
    : runtime_(std::move(runtime)),
      name_(plan.name),
      door_(std::make_shared<DeferredStream::Door>(runtime_->io())),
      plan_(std::move(plan)) {}

std::unique_ptr<ByteStream> SocketTransport::take_stream() {
  DeferredStream::Observer observer;
  observer.on_end = [weak = weak_from_this()](error_code error) {
    if (const auto self = weak.lock()) self->on_stream_end(error);
  };
  observer.on_close = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->hang_up();
  };
  return std::make_unique<DeferredStream>(door_, std::move(observer));
}

void SocketTransport::watch(std::function<void()> on_end, std::string /*gateway*/, std::shared_ptr<OutputSink>) {
  SocketOpening::Owner owner;
  owner.on_connected = [weak = weak_from_this()](FileDescriptor socket) {
    if (const auto self = weak.lock()) self->on_connected(std::move(socket));
  };
  owner.on_open = [door = door_](std::unique_ptr<ByteStream> stream) { door->open(std::move(stream)); };
  owner.on_failure = [weak = weak_from_this()](ConnectionEnd end) {
    if (const auto self = weak.lock()) self->on_failure(std::move(end));
  };
  const std::lock_guard lock(mutex_);
  on_end_ = std::move(on_end);
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

void SocketTransport::on_connected(FileDescriptor socket) {
  const std::lock_guard lock(mutex_);
  if (!ended_) socket_ = std::move(socket);
}

void SocketTransport::on_failure(ConnectionEnd end) {
  const error_code code = end.code;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(end);
  }
  door_->fail(code);
}

void SocketTransport::on_stream_end(error_code error) {
  std::unique_lock lock(mutex_);
  if (!failure_ && !ended_) {
    if (error == error_code(ETIMEDOUT, boost::system::system_category()))
      failure_ =
          ConnectionEnd{errc::connection_lost, "the link to " + name_ + " is dead: nothing came back in time", {}};
    else if (error == error_code(EBADMSG, boost::system::system_category()))
      failure_ = ConnectionEnd{errc::connection_lost, "what came from " + name_ + " was changed on the way (TLS)", {}};
  }
  end(lock);
}

void SocketTransport::kill() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_ && !ended_)
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
  socket_.reset();
  lock.unlock();
  if (opening) opening->cancel();
  if (!on_end) return;
  runtime_->post(on_end);
  runtime_->keep_going();
}

}  // namespace gangway::detail
