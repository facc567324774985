// Rows C and G of the catalogue, and others where sockets are: networks that misbehave, strangers,
// and sudden ends.
#include <sys/socket.h>
#include <sys/stat.h>

#include <future>

#include "gateways/socket_address.hpp"
#include "tests/faults/fault_test.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/wan_proxy.hpp"

namespace gangway::test {
namespace {

using detail::FileDescriptor;
using detail::SocketAddress;

constexpr const char* echo = "for item in channel: channel.send(item)";

class SocketFaults : public GroupTest {
 protected:
  SocketFaults() {
    secret_ = directory_.write("secret", "0123456789abcdef0123456789abcdef");
    (void)::chmod(secret_.c_str(), 0600);
  }
  [[nodiscard]] const std::string& secret() const { return secret_; }
  [[nodiscard]] std::string through(const WanProxy& proxy) const { return "socket=" + proxy.address(); }
  [[nodiscard]] std::string path() const { return directory_ / "socket"; }

 private:
  TemporaryDirectory directory_;
  std::string secret_;
};

FileDescriptor connected(const std::string& address) {
  const auto target = SocketAddress::numeric(detail::HostPort::parse(address)).at(0);
  FileDescriptor socket(::socket(target.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(socket.get(), target.get(), target.size), 0) << std::strerror(errno);
  return socket;
}

/// What comes until the end.
std::string read_all(const FileDescriptor& socket, std::chrono::seconds timeout = 20s) {
  std::string text;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd wait{socket.get(), POLLIN, 0};
    if (::poll(&wait, 1, 100) <= 0) continue;
    char buffer[1024];
    const ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (size <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(size));
  }
  ADD_FAILURE() << "no end came";
  return text;
}

// --- C: networks

TEST_F(SocketFaults, C3_reset_connection_is_lost_at_once) {
  for (const bool encrypted : {false, true}) {
    ServerProcess server(encrypted ? std::vector<std::string>{"127.0.0.1:0", "--secret-file", secret()}
                                   : std::vector<std::string>{"127.0.0.1:0"});
    WanProxy proxy(server.address());
    Gateway gateway = group().makegateway(through(proxy) + (encrypted ? "//secret_file=" + secret() : ""));
    Channel channel = gateway.remote_exec("while True: channel.send(b'x' * 100000)");
    (void)take(channel);
    proxy.reset();
    EXPECT_EQ(lost(channel).code(), errc::connection_lost);
  }
}

TEST_F(SocketFaults, C6_long_way_delays_and_changes_nothing) {
  ServerProcess server({"127.0.0.1:0", "--secret-file", secret()});
  WanProxy proxy(server.address());
  proxy.delay(150ms);
  Gateway gateway = group().makegateway(through(proxy) + "//secret_file=" + secret());
  Channel channel = gateway.remote_exec(echo);
  for (int round = 0; round < 4; ++round) {
    proxy.delay(std::chrono::milliseconds(100 + 50 * round));
    channel.send(zeros(1'000'000));
  }
  for (int round = 0; round < 4; ++round) EXPECT_EQ(take<Bytes>(channel).size(), 1'000'000u);
  EXPECT_FALSE(gateway.unresponsive());
}

TEST_F(SocketFaults, C8_stall_is_survived) {
  ServerProcess server({"127.0.0.1:0"});
  WanProxy proxy(server.address());
  Gateway gateway = group().makegateway(through(proxy));
  Channel channel = gateway.remote_exec(echo);
  proxy.stall(true);
  for (int number = 0; number < 100; ++number) channel.send(number);
  EXPECT_THROW((void)channel.receive(2s), TimeoutError);
  proxy.stall(false);
  for (int number = 0; number < 100; ++number) EXPECT_EQ(take<int>(channel), number);
}

TEST_F(SocketFaults, C9_single_bytes_make_whole_items) {
  for (const char* const more : {"", "--secret-file"}) {
    std::vector<std::string> arguments{"127.0.0.1:0"};
    if (*more != '\0') arguments.insert(arguments.end(), {more, secret()});
    ServerProcess server(arguments);
    WanProxy proxy(server.address());
    proxy.chop(true);
    Gateway gateway = group().makegateway(through(proxy) + (*more != '\0' ? "//secret_file=" + secret() : ""));
    Channel channel = gateway.remote_exec(echo);
    channel.send(zeros(5000));
    EXPECT_EQ(take<Bytes>(channel).size(), 5000u);
  }
}

TEST_F(SocketFaults, C11_full_connection_holds_up_nobody_else) {
  ServerProcess server({"127.0.0.1:0"});
  WanProxy proxy(server.address());
  Gateway slow = group().makegateway(through(proxy));
  Gateway other = group().makegateway(server.socket_spec());
  Channel channel = slow.remote_exec("for item in channel: channel.send(len(item))");
  proxy.stall(true);
  auto sending = std::async(std::launch::async, [&] { channel.send(zeros(40'000'000)); });
  for (int round = 0; round < 50; ++round) EXPECT_EQ(ask<int>(other, "channel.send(1)"), 1);
  proxy.stall(false);
  sending.get();
  EXPECT_EQ(take<int>(channel), 40'000'000);
}

TEST_F(SocketFaults, C12_what_came_before_the_end_is_delivered) {
  ServerProcess server({"127.0.0.1:0"});
  WanProxy proxy(server.address());
  Gateway gateway = group().makegateway(through(proxy));
  const auto before = proxy.passed(WanProxy::Way::to_client);
  Channel channel = gateway.remote_exec("for i in range(100): channel.send(i)\nchannel.receive()");
  EXPECT_EQ(take<int>(channel), 0);
  // An int is a frame of 16 bytes.
  ASSERT_TRUE(eventually([&] { return proxy.passed(WanProxy::Way::to_client) >= before + 100 * 16; }));
  proxy.half_close(WanProxy::Way::to_client);
  for (int number = 1; number < 100; ++number) EXPECT_EQ(take<int>(channel), number);
  EXPECT_EQ(lost(channel).code(), errc::connection_lost);
}

TEST_F(SocketFaults, A17_slow_line_is_bounded_by_the_deadline) {
  ServerProcess server({"127.0.0.1:0", "--python", "/usr/bin/python3"});
  WanProxy proxy(server.address());
  proxy.throttle(10'000);  // the bundle has 12 KB
  EXPECT_EQ(ask<int>(group().makegateway(through(proxy)), "channel.send(1)"), 1);
  proxy.throttle(1'000);
  EXPECT_EQ(start_error(group(), through(proxy) + "//connect_timeout=2s").code(), errc::bootstrap_timeout);
}

TEST_F(SocketFaults, A17_damaged_bundle_is_no_agent) {
  ServerProcess server({"127.0.0.1:0", "--python", "/usr/bin/python3"});
  WanProxy proxy(server.address());
  proxy.corrupt(WanProxy::Way::to_server, 5000);
  EXPECT_EQ(start_error(group(), through(proxy)).code(), errc::bootstrap_failed);
}

TEST_F(SocketFaults, D15_flipped_bit_is_noticed_by_tls) {
  ServerProcess server({"127.0.0.1:0", "--secret-file", secret()});
  const std::string with_secret = "//secret_file=" + secret() + "//connect_timeout=20s";
  for (const auto way : {WanProxy::Way::to_server, WanProxy::Way::to_client}) {
    for (const std::uint64_t offset : {40u, 300u, 1000u, 50'000u}) {
      WanProxy proxy(server.address());
      proxy.corrupt(way, offset);
      try {
        Channel channel = group().makegateway(through(proxy) + with_secret).remote_exec(echo);
        channel.send(zeros(100'000));
        (void)take(channel);
        ADD_FAILURE() << "offset " << offset << " was not noticed";
      } catch (const Error& error) {
        EXPECT_NE(error.code(), errc::timed_out) << error.what();
        EXPECT_NE(error.code(), errc::protocol_error) << error.what();  // nothing wrong came through
      }
    }
  }
}

// --- G: strangers

TEST_F(SocketFaults, G11_who_sends_a_byte_now_and_then_has_five_seconds) {
  ServerProcess server({"127.0.0.1:0"});
  const FileDescriptor socket = connected(server.address());
  std::atomic<bool> over = false;
  auto dripping = std::async(std::launch::async, [&] {
    while (!over) {
      (void)::send(socket.get(), "'", 1, MSG_NOSIGNAL);
      std::this_thread::sleep_for(200ms);
    }
  });
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_THAT(read_all(socket), HasSubstr("refused"));
  over = true;
  dripping.get();
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 4s);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 15s);
}

TEST_F(SocketFaults, G11_too_many_bytes_are_refused) {
  ServerProcess plain({"127.0.0.1:0"});
  const FileDescriptor socket = connected(plain.address());
  const std::string flood(100'000, 'x');
  (void)::send(socket.get(), flood.data(), flood.size(), MSG_NOSIGNAL);
  (void)read_all(socket);
  ServerProcess encrypted({"127.0.0.1:0", "--secret-file", secret()});
  const FileDescriptor other = connected(encrypted.address());
  const std::string hello = std::string{'\x16', '\x03', '\x01', '\x10', '\0'} + flood.substr(0, 4096);
  (void)::send(other.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
  (void)read_all(other);
  EXPECT_TRUE(eventually([&] { return encrypted.log().find("too many bytes") != std::string::npos; }))
      << encrypted.log();
}

TEST_F(SocketFaults, G11_flood_of_strangers_keeps_nobody_out) {
  ServerProcess server({"127.0.0.1:0", "--secret-file", secret()});
  std::atomic<bool> over = false;
  auto flooding = std::async(std::launch::async, [&] {
    std::deque<FileDescriptor> open;
    int connects = 0;
    for (; connects < 10'000 && !over; ++connects) {
      open.push_back(connected(server.address()));
      if (open.size() > 200) open.pop_front();
    }
    return connects;
  });
  std::string problem;
  try {
    for (int round = 0; round < 3; ++round) {
      Gateway gateway = group().makegateway(server.socket_spec() + "//secret_file=" + secret());
      EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
    }
  } catch (const Error& error) {
    problem = error.what();
  }
  over = true;
  EXPECT_EQ(problem, "");
  EXPECT_GT(flooding.get(), 20);
  // The log is not a way to fill a disk.
  EXPECT_LT(server.log().size(), 20'000u) << server.log().substr(0, 500);
}

TEST_F(SocketFaults, G11_recorded_session_opens_nothing) {
  ServerProcess server({"127.0.0.1:0", "--secret-file", secret()});
  // What a client that knows the secret sends, as somebody in between sees it.
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = SocketAddress::numeric({"127.0.0.1", 0}).at(0);
  ASSERT_EQ(::bind(listener.get(), address.get(), address.size), 0);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  auto client = std::async(std::launch::async, [&] {
    return start_error(group(), "socket=" + SocketAddress::local(listener.get()).text() + "//secret_file=" + secret());
  });
  const FileDescriptor seen(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const FileDescriptor real = connected(server.address());
  std::string recorded(2048, '\0');
  recorded.resize(static_cast<std::size_t>(::recv(seen.get(), recorded.data(), recorded.size(), 0)));
  ASSERT_GT(::send(real.get(), recorded.data(), recorded.size(), MSG_NOSIGNAL), 0);
  std::string answer(2048, '\0');
  answer.resize(static_cast<std::size_t>(::recv(real.get(), answer.data(), answer.size(), 0)));
  // Its first flight again, to a server that has never seen it: the server answers, and wants a
  // proof that belongs to its own part of the key exchange.
  const FileDescriptor again = connected(server.address());
  ASSERT_GT(::send(again.get(), recorded.data(), recorded.size(), MSG_NOSIGNAL), 0);
  ASSERT_GT(::send(again.get(), recorded.data(), recorded.size(), MSG_NOSIGNAL), 0);
  (void)read_all(again);
  ::shutdown(seen.get(), SHUT_RDWR);
  EXPECT_EQ(client.get().code(), errc::bootstrap_failed);
  EXPECT_TRUE(eventually([&] { return server.log().find("turned away") != std::string::npos; }));
  EXPECT_EQ(server.log().find("started"), std::string::npos) << server.log();
}

TEST_F(SocketFaults, G11_other_users_of_this_machine_are_turned_away) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else for a moment";
  const TemporaryDirectory place;
  ASSERT_EQ(::chmod(place.path().c_str(), 0755), 0);
  const std::string path = place / "socket";
  ServerProcess tcp({"127.0.0.1:0"});
  ServerProcess one({path, "--allow-user", "4711"});
  const auto answer_to = [&](uid_t user, const SocketAddress& target) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setuid(user) != 0) ::_exit(1);
      const FileDescriptor socket(::socket(target.family(), SOCK_STREAM, 0));
      if (::connect(socket.get(), target.get(), target.size) != 0) ::_exit(1);
      const std::string_view line = "'# gangway 1\\n'\n";
      char reply[512];
      (void)!::write(socket.get(), line.data(), line.size());
      const ssize_t size = ::read(socket.get(), reply, sizeof reply);
      if (size > 0) (void)!::write(ends[1], reply, static_cast<std::size_t>(size));
      ::_exit(0);
    }
    ::close(ends[1]);
    const FileDescriptor end(ends[0]);
    std::string text = read_all(end);
    ::waitpid(child, nullptr, 0);
    return text;
  };
  const auto at = SocketAddress::numeric(detail::HostPort::parse(tcp.address())).at(0);
  EXPECT_THAT(answer_to(4711, at), HasSubstr("refused user 4711 may not connect"));
  EXPECT_THAT(answer_to(4711, SocketAddress::unix_path(path)), HasSubstr("native"));
  EXPECT_THAT(answer_to(4712, SocketAddress::unix_path(path)), HasSubstr("refused user 4712"));
  EXPECT_THAT(answer_to(0, at), HasSubstr("native"));
}

TEST_F(SocketFaults, log_is_safe_for_a_terminal) {
  ServerProcess server({"127.0.0.1:0"});
  WanProxy proxy(server.address());
  const FileDescriptor socket = connected(server.address());
  const std::string line = "'# gangway \x1b[31m\n";
  (void)::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);
  (void)read_all(socket);
  EXPECT_EQ(server.log().find('\x1b'), std::string::npos);
}

// --- sudden ends

TEST_F(SocketFaults, B4_B5_killed_controller_leaves_no_agent_behind) {
  for (const char* const mode : {"hold", "stop", "gil", "load"}) {
    ServerProcess server({path()});
    ControllerProcess controller(mode, "unix=" + path(), 2);
    const auto workers = controller.ready();
    controller.signal(SIGKILL);
    for (const pid_t worker : workers) EXPECT_TRUE(eventually([&] { return !is_alive(worker); }, 12s)) << mode;
    (void)controller.wait();
  }
}

TEST_F(SocketFaults, killed_controller_and_server_leave_nothing) {
  for (const bool encrypted : {false, true}) {
    std::vector<std::string> arguments{"127.0.0.1:0"};
    if (encrypted) arguments.insert(arguments.end(), {"--secret-file", secret()});
    ServerProcess server(arguments);
    ControllerProcess controller("stop", server.socket_spec() + (encrypted ? "//secret_file=" + secret() : ""), 2);
    (void)controller.ready();
    controller.signal(SIGKILL);
    server.signal(SIGKILL);
    (void)controller.wait();
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 10s));
  }
}

TEST_F(SocketFaults, E8_server_without_descriptors_goes_on_later) {
  ServerProcess server({"127.0.0.1:0", "--cold"}, {}, {"prlimit", "--nofile=40"});
  ASSERT_NE(server.address(), "") << server.log();
  {
    std::vector<FileDescriptor> open;
    for (int each = 0; each < 60; ++each) open.push_back(connected(server.address()));
    EXPECT_TRUE(eventually([&] { return server.log().find("no descriptor left") != std::string::npos; }))
        << server.log();
  }
  // They are gone as soon as the server has noticed.
  EXPECT_TRUE(eventually([&] {
    try {
      return ask<int>(group().makegateway(server.socket_spec()), "channel.send(1)") == 1;
    } catch (const StartError&) {
      return false;
    }
  }));
}

}  // namespace
}  // namespace gangway::test
