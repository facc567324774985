// Byte streams that do to a connection what pipes and sockets do on a bad day.
#pragma once

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <utility>

#include <gangway/bytes.hpp>

#include "core/byte_stream.hpp"

namespace gangway::testing {

/// Reads and writes as a script says. The test keeps the script and may go on writing it
/// while the connection runs.
class Script {
 public:
  using error_code = boost::system::error_code;

  explicit Script(boost::asio::io_context& io) : io_(io) {}

  // What reads find, one step each; a read gets no more than one step has.
  void gives(const Bytes& bytes) { add_read({bytes, {}}); }
  void gives_one_by_one(const Bytes& bytes, std::size_t each = 1) {
    for (std::size_t at = 0; at < bytes.size(); at += each)
      gives(Bytes(bytes.span().subspan(at, std::min(each, bytes.size() - at))));
  }
  void gives_nothing_now() { add_read({{}, boost::asio::error::would_block}); }
  void gives_end() { add_read({{}, {}}); }
  void gives_error(error_code error) { add_read({{}, error}); }

  // What writes do. Without a step, or behind the last one: they take everything.
  void takes(std::size_t bytes) { add_write({bytes, {}}); }
  void takes_nothing_now() { add_write({0, boost::asio::error::would_block}); }
  void takes_error(error_code error) { add_write({0, error}); }

  /// Everything that was written.
  [[nodiscard]] Bytes written() {
    const std::lock_guard lock(mutex_);
    return written_;
  }
  [[nodiscard]] bool closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  /// Everything that it gives has been read.
  [[nodiscard]] bool read_up() {
    const std::lock_guard lock(mutex_);
    return reads_.empty();
  }

 private:
  friend class ScriptStream;
  struct Read {
    Bytes bytes;
    error_code error;  // none, and no bytes: the end
  };
  struct Write {
    std::size_t most;
    error_code error;
  };
  using Handler = detail::ByteStream::ReadyHandler;

  void add_read(Read step) {
    const std::lock_guard lock(mutex_);
    reads_.push_back(std::move(step));
    fire(readable_, {});
  }
  void add_write(Write step) {
    const std::lock_guard lock(mutex_);
    writes_.push_back(step);
  }
  void fire(Handler& handler, error_code error) {
    if (handler) boost::asio::post(io_, [handler = std::exchange(handler, nullptr), error] { handler(error); });
  }

  boost::asio::io_context& io_;
  std::mutex mutex_;
  std::deque<Read> reads_;
  std::deque<Write> writes_;
  Bytes written_;
  Handler readable_;
  bool closed_ = false;
};

class ScriptStream final : public detail::ByteStream {
 public:
  explicit ScriptStream(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  ~ScriptStream() override { close(); }

  std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override {
    const std::lock_guard lock(script_->mutex_);
    error = {};
    if (script_->reads_.empty()) {
      error = boost::asio::error::would_block;
      return 0;
    }
    Script::Read& step = script_->reads_.front();
    std::size_t size = 0;
    for (const iovec& buffer : buffers) {
      const std::size_t part = std::min(buffer.iov_len, step.bytes.size() - size);
      if (part > 0) std::memcpy(buffer.iov_base, step.bytes.data() + size, part);
      size += part;
    }
    error = step.error;
    const bool is_end = step.bytes.empty() && !step.error;
    if (size < step.bytes.size())
      step.bytes = Bytes(step.bytes.span().subspan(size));
    else if (!is_end)  // the end stays the end
      script_->reads_.pop_front();
    return size;
  }

  std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override {
    const std::lock_guard lock(script_->mutex_);
    error = {};
    std::size_t most = ~std::size_t{0};
    if (!script_->writes_.empty()) {
      most = script_->writes_.front().most;
      error = script_->writes_.front().error;
      script_->writes_.pop_front();
      if (error) return 0;
    }
    std::size_t size = 0;
    for (const iovec& buffer : buffers) {
      const std::size_t part = std::min(buffer.iov_len, most - size);
      script_->written_.append({static_cast<const std::byte*>(buffer.iov_base), part});
      size += part;
    }
    return size;
  }

  void wait_readable(ReadyHandler handler) override {
    const std::lock_guard lock(script_->mutex_);
    script_->readable_ = std::move(handler);
    if (script_->closed_)
      script_->fire(script_->readable_, boost::asio::error::operation_aborted);
    else if (!script_->reads_.empty())
      script_->fire(script_->readable_, {});
  }
  void wait_writable(ReadyHandler handler) override {
    const std::lock_guard lock(script_->mutex_);
    script_->fire(handler, {});
  }
  void close() noexcept override {
    const std::lock_guard lock(script_->mutex_);
    script_->closed_ = true;
    script_->fire(script_->readable_, boost::asio::error::operation_aborted);
  }

 private:
  const std::shared_ptr<Script> script_;
};

/// Another stream, of which every read and write gets a few bytes only, or nothing now.
class ChoppyStream final : public detail::ByteStream {
 public:
  struct Habits {
    std::size_t most = 1;     // bytes of a read or write
    unsigned nothing_of = 2;  // one call of so many says EAGAIN; 0: none
  };

  ChoppyStream(std::unique_ptr<ByteStream> inner, Habits habits, std::uint32_t seed = 1)
      : inner_(std::move(inner)), habits_(habits), random_(seed) {}

  std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override {
    return some(buffers, error, [&](const iovec& one) { return inner_->read({&one, 1}, error); });
  }
  std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override {
    return some(buffers, error, [&](const iovec& one) { return inner_->write({&one, 1}, error); });
  }
  void wait_readable(ReadyHandler handler) override { inner_->wait_readable(std::move(handler)); }
  void wait_writable(ReadyHandler handler) override { inner_->wait_writable(std::move(handler)); }
  void close() noexcept override { inner_->close(); }

 private:
  template <class Call>
  std::size_t some(std::span<const iovec> buffers, boost::system::error_code& error, Call call) {
    if (habits_.nothing_of > 0 && random_() % habits_.nothing_of == 0) {
      error = boost::asio::error::would_block;
      return 0;
    }
    for (const iovec& buffer : buffers)
      if (buffer.iov_len > 0) return call({buffer.iov_base, std::min(buffer.iov_len, 1 + random_() % habits_.most)});
    return 0;
  }

  const std::unique_ptr<ByteStream> inner_;
  const Habits habits_;
  std::minstd_rand random_;
};

}  // namespace gangway::testing
