// TLS 1.3 over another byte stream, with a shared secret instead of certificates: the external
// pre-shared key of RFC 8446, section 4.2.11, with a fresh Diffie-Hellman exchange, so that who
// records a session and learns the secret later reads nothing. Both sides prove that they have it;
// OpenSSL compares the proofs in constant time.
//
// Thread rule: handshake() on the leading thread, before anything else; then as byte_stream.hpp.
// The stream below is called with this one's lock held.
#pragma once

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/byte_stream.hpp"
#include "gateways/secret.hpp"

namespace gangway::detail {

class TlsStream final : public ByteStream {
 public:
  enum class Role { client, server };

  /// Throws Error when OpenSSL cannot do it.
  TlsStream(boost::asio::io_context& io, std::unique_ptr<ByteStream> below, Role role, const Secret& secret);
  ~TlsStream() override;

  /// The first byte of every TLS connection.
  static constexpr unsigned char first_byte = 0x16;

  /// `done` gets why it failed, "" when it did not, on the leading thread; never after close(). The peer may
  /// write `most` bytes until then.
  void handshake(std::size_t most, std::function<void(std::string problem)> done);

  [[nodiscard]] std::size_t read(std::span<const iovec> buffers, boost::system::error_code& error) override;
  [[nodiscard]] std::size_t write(std::span<const iovec> buffers, boost::system::error_code& error) override;
  void wait_readable(ReadyHandler handler) override;
  void wait_writable(ReadyHandler handler) override;
  bool limit_backlog(const std::optional<Backlog>& most) noexcept override;
  void close() noexcept override;

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace gangway::detail
