#include "gateways/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include <gangway/error.hpp>

namespace gangway::detail {

namespace {

using boost::system::error_code;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using SslContext = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Deleter<SSL_free>>;
using SslSession = std::unique_ptr<SSL_SESSION, Deleter<SSL_SESSION_free>>;

// Both ends are of one make, so one of each. The hash of the suite is the key's, too.
constexpr const char* cipher_suite = "TLS_AES_128_GCM_SHA256";
constexpr std::array<unsigned char, 2> cipher_id{0x13, 0x01};
constexpr const char* group = "X25519";
constexpr std::string_view identity = "gangway";
constexpr std::string_view key_label = "gangway socket server, pre-shared key 1\n";

constexpr std::size_t record = 16 * 1024;        // plain bytes of one
constexpr std::size_t held_below = 64 * 1024;    // encrypted ones that the stream below has not taken
constexpr std::size_t read_at_once = 64 * 1024;  // encrypted bytes

// The key has as many bytes as the hash; a secret has any length.
std::vector<unsigned char> key_of(const Secret& secret) {
  std::vector<unsigned char> key(32);
  std::string text = std::string(key_label) + secret.text();
  unsigned size = 0;
  const int ok = EVP_Digest(text.data(), text.size(), key.data(), &size, EVP_sha256(), nullptr);
  OPENSSL_cleanse(text.data(), text.size());
  if (ok != 1 || size != key.size()) throw_error(errc::bad_argument, "OpenSSL has no SHA-256");
  return key;
}

SSL_SESSION* make_session(SSL* ssl, const std::vector<unsigned char>& key) {
  const SSL_CIPHER* const cipher = SSL_CIPHER_find(ssl, cipher_id.data());
  SslSession session(SSL_SESSION_new());
  if (!session || cipher == nullptr || SSL_SESSION_set1_master_key(session.get(), key.data(), key.size()) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1)
    return nullptr;
  return session.release();
}

const std::vector<unsigned char>* key_for(SSL* ssl) {
  return static_cast<const std::vector<unsigned char>*>(SSL_get_app_data(ssl));
}

int use_session(SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* size, SSL_SESSION** session) {
  *session = make_session(ssl, *key_for(ssl));
  *id = reinterpret_cast<const unsigned char*>(identity.data());
  *size = identity.size();
  return *session != nullptr ? 1 : 0;
}

int find_session(SSL* ssl, const unsigned char* id, std::size_t size, SSL_SESSION** session) {
  const bool ours = size == identity.size() && std::memcmp(id, identity.data(), size) == 0;
  *session = ours ? make_session(ssl, *key_for(ssl)) : nullptr;
  return 1;
}

SslContext make_context(TlsStream::Role role) {
  const bool client = role == TlsStream::Role::client;
  SslContext context(SSL_CTX_new(client ? TLS_client_method() : TLS_server_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), cipher_suite) != 1 || SSL_CTX_set1_groups_list(context.get(), group) != 1)
    throw_error(errc::bad_argument, "this OpenSSL cannot speak TLS 1.3 with " + std::string(cipher_suite));
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  // There is no authority that a certificate could come from: only the key will do.
  SSL_CTX_set_verify(context.get(), client ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (client)
    SSL_CTX_set_psk_use_session_callback(context.get(), use_session);
  else
    SSL_CTX_set_psk_find_session_callback(context.get(), find_session);
  return context;
}

}  // namespace

class TlsStream::State : public std::enable_shared_from_this<State> {
 public:
  State(boost::asio::io_context& io, std::unique_ptr<ByteStream> below, Role role, const Secret& secret)
      : io_(io), below_(std::move(below)), key_(key_of(secret)), context_(make_context(role)) {
    ssl_.reset(SSL_new(context_.get()));
    BIO* const in = BIO_new(BIO_s_mem());
    BIO* const out = BIO_new(BIO_s_mem());
    if (!ssl_ || in == nullptr || out == nullptr) throw std::bad_alloc();
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl_.get(), in, out);
    SSL_set_app_data(ssl_.get(), &key_);
    if (role == Role::client)
      SSL_set_connect_state(ssl_.get());
    else
      SSL_set_accept_state(ssl_.get());
  }
  ~State() { OPENSSL_cleanse(key_.data(), key_.size()); }

  void handshake(std::size_t most, std::function<void(std::string)> done) {
    std::unique_lock lock(mutex_);
    most_ = most;
    shaken_ = std::move(done);
    shake(lock);
  }

  std::size_t read(std::span<const iovec> buffers, error_code& error) {
    const std::lock_guard lock(mutex_);
    error = {};
    std::size_t total = 0;
    for (const iovec& buffer : buffers) {
      std::size_t filled = 0;
      while (filled < buffer.iov_len) {
        std::size_t size = 0;
        ERR_clear_error();
        const int result =
            SSL_read_ex(ssl_.get(), static_cast<char*>(buffer.iov_base) + filled, buffer.iov_len - filled, &size);
        if (result == 1) {
          filled += size;
          total += size;
          continue;
        }
        const int why = SSL_get_error(ssl_.get(), result);
        flush();  // what it answers to the peer's own messages
        if (why == SSL_ERROR_ZERO_RETURN) return total;
        if (why != SSL_ERROR_WANT_READ) {
          if (total == 0) error = error_code(EBADMSG, boost::system::system_category());
          return total;
        }
        if (total > 0) return total;  // the rest when asked again
        const std::size_t more = fetch(error);
        // An end without TLS's own notice may be the work of somebody in between.
        if (!error && more == 0) error = boost::asio::error::connection_reset;
        if (error) {
          starved_ = would_block(error);
          return 0;
        }
      }
    }
    return total;
  }

  std::size_t write(std::span<const iovec> buffers, error_code& error) {
    const std::lock_guard lock(mutex_);
    error = flush();
    if (error) return 0;
    if (out_.size() - sent_ >= hold_below_) {
      error = boost::asio::error::would_block;
      return 0;
    }
    std::size_t total = 0;
    std::array<char, record> gathered;  // small pieces share a record
    std::size_t piece = 0;
    std::size_t offset = 0;
    while (piece < buffers.size() && out_.size() - sent_ < hold_below_) {
      std::size_t size = 0;
      while (piece < buffers.size() && size < gathered.size()) {
        const std::size_t step = std::min(buffers[piece].iov_len - offset, gathered.size() - size);
        std::memcpy(gathered.data() + size, static_cast<const char*>(buffers[piece].iov_base) + offset, step);
        size += step;
        offset += step;
        if (offset == buffers[piece].iov_len) {
          ++piece;
          offset = 0;
        }
      }
      if (size == 0) break;
      std::size_t written = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_.get(), gathered.data(), size, &written) != 1) {
        error = error_code(EPROTO, boost::system::system_category());
        return total;
      }
      total += written;
      take_output();
    }
    const error_code problem = flush();
    if (problem && total == 0) error = problem;
    return total;
  }

  void wait_readable(ReadyHandler handler) {
    const std::lock_guard lock(mutex_);
    if (starved_ && !closed_)
      below_->wait_readable(std::move(handler));
    else
      boost::asio::post(io_, [handler = std::move(handler)] { handler({}); });
  }

  void wait_writable(ReadyHandler handler) {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      boost::asio::post(io_, [handler = std::move(handler)] { handler({}); });
    } else {
      writer_ = std::move(handler);
      wait_below();
    }
  }

  bool limit_backlog(const std::optional<Backlog>& most) noexcept {
    const std::lock_guard lock(mutex_);
    hold_below_ = most ? 1 : held_below;
    return below_->limit_backlog(most);
  }

  void close() noexcept {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    if (SSL_is_init_finished(ssl_.get()) == 1) {
      ERR_clear_error();
      (void)SSL_shutdown(ssl_.get());
      take_output();
      (void)flush();
    }
    shaken_ = nullptr;
    below_->close();
    if (writer_)
      boost::asio::post(
          io_, [handler = std::exchange(writer_, nullptr)] { handler(boost::asio::error::operation_aborted); });
  }

 private:
  void shake(std::unique_lock<std::mutex>& lock) {
    for (;;) {
      if (!shaken_) return;
      ERR_clear_error();
      const int result = SSL_do_handshake(ssl_.get());
      const int why = SSL_get_error(ssl_.get(), result);
      take_output();
      error_code error = flush();
      if (result == 1) return shaken(lock, SSL_session_reused(ssl_.get()) == 1 ? "" : "the key was not used");
      if (why != SSL_ERROR_WANT_READ) return shaken(lock, reason());
      const std::size_t more = fetch(error);
      if (would_block(error)) break;
      if (error) return shaken(lock, error.message());
      if (more == 0) return shaken(lock, "the connection was closed");
      if (received_ > most_) return shaken(lock, "too many bytes before the handshake was over");
    }
    below_->wait_readable([self = shared_from_this()](error_code error) {
      std::unique_lock again(self->mutex_);
      if (!error) self->shake(again);
    });
  }

  void shaken(std::unique_lock<std::mutex>& lock, std::string problem) {
    const auto done = std::exchange(shaken_, nullptr);
    lock.unlock();
    if (done) done(std::move(problem));
  }

  [[nodiscard]] static std::string reason() {
    const unsigned long code = ERR_peek_last_error();
    const char* const text = ERR_reason_error_string(code);
    return text != nullptr ? text : "the handshake failed";
  }

  /// More encrypted bytes; 0 without error at the end.
  std::size_t fetch(error_code& error) {
    std::array<char, read_at_once> buffer;
    const iovec into{buffer.data(), shaken_ ? std::min(buffer.size(), most_ + 1 - received_) : buffer.size()};
    const std::size_t size = below_->read({&into, 1}, error);
    if (error) return 0;
    starved_ = false;
    received_ += shaken_ ? size : 0;
    if (size > 0 &&
        BIO_write(SSL_get_rbio(ssl_.get()), buffer.data(), static_cast<int>(size)) != static_cast<int>(size))
      error = boost::asio::error::no_memory;
    return size;
  }

  void take_output() {
    BIO* const bio = SSL_get_wbio(ssl_.get());
    if (sent_ == out_.size()) {
      out_.clear();
      sent_ = 0;
    }
    const std::size_t before = out_.size();
    out_.resize(before + BIO_ctrl_pending(bio));
    std::size_t size = 0;
    if (out_.size() > before) BIO_read_ex(bio, out_.data() + before, out_.size() - before, &size);
    out_.resize(before + size);
  }

  /// Hands down what is encrypted; what is not taken now goes out as soon as it can.
  error_code flush() {
    take_output();
    while (sent_ < out_.size()) {
      const iovec from{out_.data() + sent_, out_.size() - sent_};
      error_code error;
      sent_ += below_->write({&from, 1}, error);
      if (would_block(error)) {
        wait_below();
        return {};
      }
      if (error) return error;
    }
    return {};
  }

  void wait_below() {
    if (waiting_ || closed_) return;
    waiting_ = true;
    below_->wait_writable([self = shared_from_this()](error_code error) {
      ReadyHandler writer;
      {
        const std::lock_guard lock(self->mutex_);
        self->waiting_ = false;
        if (error || self->closed_) return;
        error = self->flush();
        if (error || self->sent_ == self->out_.size()) writer = std::exchange(self->writer_, nullptr);
      }
      if (writer) writer(error);
    });
  }

  boost::asio::io_context& io_;
  std::mutex mutex_;  // guards everything below; the stream below is only called with it
  const std::unique_ptr<ByteStream> below_;
  std::vector<unsigned char> key_;
  const SslContext context_;
  Ssl ssl_;
  std::vector<unsigned char> out_;  // encrypted, sent up to sent_
  std::size_t sent_ = 0;
  std::size_t hold_below_ = held_below;  // when so much waits here, the next write waits, too
  bool starved_ = false;                 // nothing to decrypt, and nothing below
  bool waiting_ = false;                 // to write below
  bool closed_ = false;
  ReadyHandler writer_;
  std::function<void(std::string)> shaken_;  // during the handshake
  std::size_t most_ = 0;
  std::size_t received_ = 0;
};

TlsStream::TlsStream(boost::asio::io_context& io, std::unique_ptr<ByteStream> below, Role role, const Secret& secret)
    : state_(std::make_shared<State>(io, std::move(below), role, secret)) {}

TlsStream::~TlsStream() { close(); }

void TlsStream::handshake(std::size_t most, std::function<void(std::string problem)> done) {
  state_->handshake(most, std::move(done));
}

std::size_t TlsStream::read(std::span<const iovec> buffers, error_code& error) { return state_->read(buffers, error); }
std::size_t TlsStream::write(std::span<const iovec> buffers, error_code& error) {
  return state_->write(buffers, error);
}
void TlsStream::wait_readable(ReadyHandler handler) { state_->wait_readable(std::move(handler)); }
void TlsStream::wait_writable(ReadyHandler handler) { state_->wait_writable(std::move(handler)); }
bool TlsStream::limit_backlog(const std::optional<Backlog>& most) noexcept { return state_->limit_backlog(most); }
void TlsStream::close() noexcept { state_->close(); }

}  // namespace gangway::detail
