#include "tests/support/wan_proxy.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace gangway::test {

using detail::FileDescriptor;
using detail::HostPort;
using detail::SocketAddress;

namespace {

// A router's memory: what is under way beyond that has to wait at its sender.
constexpr std::size_t most_held = 4 * 1024 * 1024;
constexpr std::size_t chunk = 16 * 1024;

std::size_t index_of(WanProxy::Way way) { return way == WanProxy::Way::to_server ? 0 : 1; }

FileDescriptor tcp_socket(int family) {
  FileDescriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw std::runtime_error("socket");
  return socket;
}

void prepare(const FileDescriptor& socket) {
  constexpr int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)detail::set_nonblocking(socket.get());
}

}  // namespace

WanProxy::WanProxy(const std::string& target) : nudge_(detail::make_pipe()) {
  target_ = SocketAddress::numeric(HostPort::parse(target)).at(0);
  address_ = SocketAddress::numeric(HostPort{"127.0.0.1", 0}).at(0);
  listener_ = tcp_socket(AF_INET);
  if (::bind(listener_.get(), address_.get(), address_.size) != 0 || ::listen(listener_.get(), 128) != 0)
    throw std::runtime_error("bind");
  address_ = SocketAddress::local(listener_.get());
  (void)detail::set_nonblocking(listener_.get());
  (void)detail::set_nonblocking(nudge_.read.get());
  thread_ = std::thread([this] { run(); });
}

WanProxy::~WanProxy() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  thread_.join();
}

void WanProxy::wake() { (void)!::write(nudge_.write.get(), "", 1); }

void WanProxy::delay(std::chrono::milliseconds time) {
  const std::lock_guard lock(mutex_);
  delay_ = time;
}

void WanProxy::stall(bool stalled) {
  {
    const std::lock_guard lock(mutex_);
    stalled_ = stalled;
  }
  wake();
}

void WanProxy::throttle(std::size_t bytes_per_second) {
  const std::lock_guard lock(mutex_);
  rate_ = bytes_per_second;
}

void WanProxy::chop(bool chopped) {
  const std::lock_guard lock(mutex_);
  chopped_ = chopped;
}

void WanProxy::corrupt(Way way, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  corrupt_[index_of(way)] = offset;
}

void WanProxy::half_close(Way way) {
  {
    const std::lock_guard lock(mutex_);
    for (Connection& connection : connections_) connection.flows[index_of(way)].ended = true;
  }
  wake();
}

void WanProxy::reset() {
  {
    const std::lock_guard lock(mutex_);
    for (Connection& connection : connections_) {
      constexpr linger at_once{1, 0};
      for (const FileDescriptor* const socket : {&connection.client, &connection.server})
        ::setsockopt(socket->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    connections_.clear();
  }
  wake();
}

std::size_t WanProxy::connections() {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

std::uint64_t WanProxy::passed(Way way) {
  const std::lock_guard lock(mutex_);
  return passed_[index_of(way)];
}

void WanProxy::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<pollfd> watched{{listener_.get(), POLLIN, 0}, {nudge_.read.get(), POLLIN, 0}};
    std::optional<Clock::time_point> next;
    const auto now = Clock::now();
    for (auto each = connections_.begin(); each != connections_.end() && !stalled_;) {
      serve(*each, now, next);
      const bool over = each->flows[0].closed && each->flows[1].closed;
      each = over ? connections_.erase(each) : std::next(each);
    }
    for (const Connection& connection : connections_) {
      if (stalled_) break;
      for (const Flow& flow : connection.flows) {
        if (!flow.ended && flow.held < most_held) watched.push_back({flow.from, POLLIN, 0});
        if (!flow.chunks.empty() && flow.chunks.front().due <= now) watched.push_back({flow.to, POLLOUT, 0});
      }
    }
    const auto left = next ? std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count() : -1;
    lock.unlock();
    ::poll(watched.data(), watched.size(), next ? static_cast<int>(std::max<std::int64_t>(left, 0)) : -1);
    std::array<char, 64> nudges;
    while (::read(nudge_.read.get(), nudges.data(), nudges.size()) > 0) {
    }
    lock.lock();
    if (watched[0].revents != 0) accept();
  }
  connections_.clear();
}

void WanProxy::accept() {
  Connection connection;
  connection.client.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.client) return;
  connection.server = tcp_socket(target_.family());
  if (::connect(connection.server.get(), target_.get(), target_.size) != 0) return;
  prepare(connection.client);
  prepare(connection.server);
  connection.flows[0] = {connection.client.get(), connection.server.get(), Way::to_server, {}, 0, 0, false, false, {}};
  connection.flows[1] = {connection.server.get(), connection.client.get(), Way::to_client, {}, 0, 0, false, false, {}};
  connections_.push_back(std::move(connection));
}

void WanProxy::serve(Connection& connection, Clock::time_point now, std::optional<Clock::time_point>& next) {
  for (Flow& flow : connection.flows) {
    receive(flow, now);
    send(flow, now, next);
  }
}

void WanProxy::receive(Flow& flow, Clock::time_point now) {
  while (!flow.ended && flow.held < most_held) {
    std::vector<char> bytes(chunk);
    const ssize_t size = ::recv(flow.from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
      flow.ended = true;
      return;
    }
    bytes.resize(static_cast<std::size_t>(size));
    const auto& wrong = corrupt_[index_of(flow.way)];
    if (wrong && *wrong >= flow.received && *wrong < flow.received + bytes.size())
      bytes[static_cast<std::size_t>(*wrong - flow.received)] ^= 0x10;
    flow.received += bytes.size();
    flow.held += bytes.size();
    passed_[index_of(flow.way)] += bytes.size();
    flow.chunks.push_back({now + delay_, std::move(bytes)});
  }
}

void WanProxy::send(Flow& flow, Clock::time_point now, std::optional<Clock::time_point>& next) {
  while (!flow.chunks.empty()) {
    Chunk& first = flow.chunks.front();
    if (rate_ > 0) first.due = std::max(first.due, flow.free_at);
    if (first.due > now) {
      if (!next || first.due < *next) next = first.due;
      return;
    }
    std::size_t most = first.bytes.size();
    if (rate_ > 0) most = std::min(most, std::max<std::size_t>(1, rate_ / 20));
    if (chopped_) most = 1;
    const ssize_t size = ::send(flow.to, first.bytes.data(), most, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size < 0) {
      flow.chunks.clear();
      flow.ended = true;
      break;
    }
    first.bytes.erase(first.bytes.begin(), first.bytes.begin() + size);
    flow.held -= static_cast<std::size_t>(size);
    if (rate_ > 0) flow.free_at = now + std::chrono::microseconds(size * 1'000'000 / static_cast<ssize_t>(rate_));
    if (first.bytes.empty()) flow.chunks.pop_front();
  }
  if (!flow.ended || flow.closed) return;
  flow.closed = true;
  ::shutdown(flow.to, SHUT_WR);
}

}  // namespace gangway::test
