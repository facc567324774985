// A TCP proxy on loopback that misbehaves as networks do: it delays, stalls, throttles, cuts into
// single bytes, flips bits, closes one direction, resets.
//
//   WanProxy proxy("127.0.0.1:2222");      // where to connect to for each connection that comes
//   proxy.delay(150ms);                    // each way: 300 ms there and back
//   makegateway("socket=" + proxy.address())
//
// Every setting holds from now on, for all connections, and may be changed by any thread. The proxy
// has a thread of its own, which ends with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/file_descriptor.hpp"
#include "gateways/socket_address.hpp"

namespace gangway::test {

class WanProxy {
 public:
  enum class Way { to_server, to_client };

  /// "address:port" in digits.
  explicit WanProxy(const std::string& target);
  ~WanProxy();
  WanProxy(const WanProxy&) = delete;
  WanProxy& operator=(const WanProxy&) = delete;

  [[nodiscard]] std::string address() const { return address_.text(); }
  [[nodiscard]] std::uint16_t port() const { return address_.port(); }

  /// Each byte arrives so much later, in each direction.
  void delay(std::chrono::milliseconds time);
  /// Nothing is read nor written, as behind a cable that was pulled; the connections stay.
  void stall(bool stalled);
  /// At most so many bytes per second in each direction; 0: no limit.
  void throttle(std::size_t bytes_per_second);
  /// One byte at a time.
  void chop(bool chopped);
  /// Flips a bit of the byte with this number, counted from 0 over all that goes this way on a connection.
  void corrupt(Way way, std::uint64_t offset);
  /// What was received goes on, and then the end; the other direction lives.
  void half_close(Way way);
  /// Ends all connections with an RST.
  void reset();

  [[nodiscard]] std::size_t connections();
  /// Bytes that have come from the client (to_server) or the server.
  [[nodiscard]] std::uint64_t passed(Way way);

 private:
  using Clock = std::chrono::steady_clock;
  struct Chunk {
    Clock::time_point due;
    std::vector<char> bytes;
  };
  struct Flow {  // one direction of one connection
    int from = -1;
    int to = -1;
    Way way = Way::to_server;
    std::deque<Chunk> chunks;
    std::size_t held = 0;
    std::uint64_t received = 0;
    bool ended = false;   // nothing more is read
    bool closed = false;  // and the other side was told
    Clock::time_point free_at{};
  };
  struct Connection {
    detail::FileDescriptor client;
    detail::FileDescriptor server;
    Flow flows[2];
  };

  void run();
  void accept();
  void serve(Connection& connection, Clock::time_point now, std::optional<Clock::time_point>& next);
  void receive(Flow& flow, Clock::time_point now);
  void send(Flow& flow, Clock::time_point now, std::optional<Clock::time_point>& next);
  void wake();

  detail::SocketAddress target_;
  detail::SocketAddress address_;
  detail::FileDescriptor listener_;
  detail::Pipe nudge_;
  std::mutex mutex_;  // guards what follows
  std::chrono::milliseconds delay_{0};
  std::size_t rate_ = 0;
  bool stalled_ = false;
  bool chopped_ = false;
  bool stopping_ = false;
  std::optional<std::uint64_t> corrupt_[2];
  std::uint64_t passed_[2] = {0, 0};
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace gangway::test
