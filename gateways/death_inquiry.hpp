// Asks a socket server how the agent of a connection that has ended did: a connection of its own,
// opened as the first one was, with the token of that in its request (spec-docs/sockets.md).
//
// Leading thread only, but for start() and cancel().
#pragma once

#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gangway/death_record.hpp>

#include "core/runtime.hpp"
#include "gateways/socket_opening.hpp"

namespace gangway::detail {

class DeathInquiry : public std::enable_shared_from_this<DeathInquiry> {
 public:
  /// Nothing when the server does not say, for whatever reason.
  using Done = std::function<void(std::optional<DeathRecord>)>;

  /// `plan`: with the token.
  DeathInquiry(std::shared_ptr<Runtime> runtime, SocketOpening::Plan plan, Done done);
  /// Ends within limits::death_asked.
  void start();
  /// Any thread. `done` may be called once more, by who is at it now.
  void cancel();

 private:
  void begin();
  void read_stderr();
  void conclude(bool known);

  const std::shared_ptr<Runtime> runtime_;
  SocketOpening::Plan plan_;
  Done done_;
  boost::asio::steady_timer patience_;
  std::shared_ptr<SocketOpening> opening_;
  std::unique_ptr<ByteStream> stream_;
  DeathRecord record_;
  std::size_t stderr_size_ = 0;
};

}  // namespace gangway::detail
