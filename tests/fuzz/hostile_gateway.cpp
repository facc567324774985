// What a hostile agent, or a server in front of it, says to a gateway of a group: its greeting, its HELLO, its answers
// to what the gateway asks. hostile_agent has the connection alone, and more of its inputs a second.
//
// Input: a byte of settings, a byte that seeds the pieces, the stream.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <thread>

#include <gangway/gangway.hpp>

#include "core/file_descriptor.hpp"

namespace {

using namespace gangway;
using detail::FileDescriptor;
using namespace std::chrono_literals;

void require(bool condition) {
  if (!condition) std::abort();
}

/// A server of one connection at a time, at an abstract name.
class Server {
 public:
  Server()
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), name_("gangway-fuzz-" + std::to_string(::getpid())) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(name_.begin(), name_.end(), address.sun_path + 1);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
    require(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(socket_.get(), 4) == 0);
  }
  [[nodiscard]] std::string spec() const { return "unix=@" + name_; }

  /// Until the client has gone. `ends`: there is no more behind the stream.
  void serve(std::span<const std::uint8_t> stream, unsigned seed, bool ends) const {
    const FileDescriptor connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) return;
    std::minstd_rand random(seed);
    while (!stream.empty()) {
      const auto piece = stream.first(std::min<std::size_t>(stream.size(), 1 + random() % 3000));
      if (::send(connection.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
      stream = stream.subspan(piece.size());
    }
    if (ends) (void)::shutdown(connection.get(), SHUT_WR);
    char buffer[4096];
    while (::recv(connection.get(), buffer, sizeof buffer, 0) > 0) continue;
  }

 private:
  const FileDescriptor socket_;
  const std::string name_;
};

template <class Action>
void expect_error_or_none(Action action) {
  try {
    action();
  } catch (const Error& error) {
    require(*error.what() != '\0');
  }
}

void use(Gateway gateway) {
  gateway.set_output([](const Output&) {});
  Channel channel = gateway.remote_exec("1");
  channel.send(1, 20ms);
  expect_error_or_none([&] { (void)gateway.remote_status(20ms); });
  expect_error_or_none([&] { require(gateway.stacks(20ms).size() <= 8 * limits::stacks_text); });
  expect_error_or_none([&] { (void)gateway.ping(20ms); });
  for (int items = 0; items < 20; ++items) (void)channel.receive(5ms);
}

}  // namespace

// A thread of the library's is not joined: what it still holds when the process ends is no leak.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }  // NOLINT(bugprone-reserved-identifier)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Server server;
  if (size < 2) return 0;
  const bool greeted = (data[0] & 1) != 0;  // the stream begins behind the greeting
  const bool ends = (data[0] & 2) == 0;
  const char* const more = (data[0] & 4) != 0 ? "//stdout=callback//stderr=callback" : "";
  std::string stream = greeted ? "GW1 native\n" : "";
  stream.append(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::thread peer([&] {
    server.serve({reinterpret_cast<const std::uint8_t*>(stream.data()), stream.size()}, data[1], ends);
  });
  {
    Group group;
    expect_error_or_none([&] {
      use(group.makegateway(server.spec() + "//max_item=1M//connect_timeout=" + (ends ? "5" : "0.05") + more));
    });
    (void)group.terminate(0s);
  }
  peer.join();
  return 0;
}
