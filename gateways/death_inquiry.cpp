#include "gateways/death_inquiry.hpp"

#include <boost/asio/post.hpp>

#include <utility>

#include <gangway/limits.hpp>

#include "core/trace.hpp"

namespace gangway::detail {

using boost::system::error_code;

DeathInquiry::DeathInquiry(std::shared_ptr<Runtime> runtime, SocketOpening::Plan plan, Done done)
    : runtime_(std::move(runtime)), plan_(std::move(plan)), done_(std::move(done)), patience_(runtime_->io()) {}

void DeathInquiry::start() {
  boost::asio::post(runtime_->io(), [self = shared_from_this()] { self->begin(); });
  runtime_->keep_going();
}

void DeathInquiry::cancel() {
  boost::asio::post(runtime_->io(), [self = shared_from_this()] { self->conclude(false); });
  runtime_->keep_going();
}

void DeathInquiry::begin() {
  if (!done_) return;
  patience_.expires_after(limits::death_asked);
  patience_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->conclude(false);
  });
  SocketOpening::Owner owner;
  owner.on_connected = [](FileDescriptor, const SocketAddress&) {};
  owner.on_open = [self = shared_from_this()](std::unique_ptr<ByteStream> stream, const ServerReply& reply) {
    if (!self->done_) return stream->close();
    self->stream_ = std::move(stream);
    self->record_ = reply.death;
    self->stderr_size_ = reply.stderr_size;
    self->read_stderr();
  };
  owner.on_failure = [self = shared_from_this()](const ConnectionEnd& end) {
    trace::log("how an agent has ended is not known: ", end.text);
    self->conclude(false);
  };
  opening_ = std::make_shared<SocketOpening>(runtime_, std::move(plan_), std::move(owner));
  opening_->start();
}

void DeathInquiry::read_stderr() {
  std::string& text = record_.stderr_tail;
  while (text.size() < stderr_size_) {
    const std::size_t before = text.size();
    text.resize(stderr_size_);
    const iovec into{text.data() + before, stderr_size_ - before};
    error_code error;
    const std::size_t size = stream_->read({&into, 1}, error);
    text.resize(before + size);
    if (would_block(error)) {
      stream_->wait_readable([self = shared_from_this()](error_code) {
        if (self->done_) self->read_stderr();
      });
      return;
    }
    if (error || size == 0) return conclude(false);
  }
  conclude(true);
}

void DeathInquiry::conclude(bool known) {
  const auto done = std::exchange(done_, nullptr);
  if (!done) return;
  patience_.cancel();
  if (opening_) std::exchange(opening_, nullptr)->cancel();
  if (stream_) stream_->close();
  done(known ? std::optional(std::move(record_)) : std::nullopt);
}

}  // namespace gangway::detail
