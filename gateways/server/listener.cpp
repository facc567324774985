#include "gateways/server/listener.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <gangway/error.hpp>

#include "core/escape.hpp"

namespace gangway::detail {

namespace {

constexpr int backlog = 128;
constexpr int first_inherited = 3;

[[noreturn]] void complain(const std::string& where, const std::string& what) {
  throw_error(errc::bad_argument, "cannot listen on " + escape_for_display(where) + ": " + what);
}

FileDescriptor make_socket(const std::string& where, const SocketAddress& address) {
  FileDescriptor socket(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket || !avoid_standard_numbers(socket)) complain(where, last_os_error().message());
  return socket;
}

void bind_and_listen(const std::string& where, Listener& listener) {
  if (::bind(listener.socket.get(), listener.address.get(), listener.address.size) != 0 ||
      ::listen(listener.socket.get(), backlog) != 0)
    complain(where, last_os_error().message());
  listener.address = SocketAddress::local(listener.socket.get());
}

Listener listen_unix(const std::string& path, bool others) {
  Listener listener{{}, SocketAddress::unix_path(path), {}};
  listener.socket = make_socket(path, listener.address);
  if (path[0] != '@') {
    // What a server that was killed has left is in the way. One that lives answers.
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
      const FileDescriptor probe = make_socket(path, listener.address);
      if (::connect(probe.get(), listener.address.get(), listener.address.size) == 0 || errno == EAGAIN)
        complain(path, "another server is there");
      if (errno == ECONNREFUSED) ::unlink(path.c_str());
    }
    // Made for us alone, so that nobody comes in between.
    const mode_t before = ::umask(S_IRWXG | S_IRWXO);
    const int bound = ::bind(listener.socket.get(), listener.address.get(), listener.address.size);
    const int problem = errno;
    ::umask(before);
    errno = problem;
    if (bound != 0) complain(path, last_os_error().message());
    listener.unlink = path;
    if ((others && ::chmod(path.c_str(), 0666) != 0) || ::listen(listener.socket.get(), backlog) != 0)
      complain(path, last_os_error().message());
    return listener;
  }
  bind_and_listen(path, listener);
  return listener;
}

std::vector<SocketAddress> resolve(const std::string& where) {
  const bool any = where.starts_with("*:") || where.starts_with(":");
  HostPort parsed;
  try {
    parsed = HostPort::parse(any ? "any" + where.substr(where.find(':')) : where);
  } catch (const std::invalid_argument& problem) {
    complain(where, problem.what());
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int problem =
      ::getaddrinfo(any ? nullptr : parsed.host.c_str(), std::to_string(parsed.port).c_str(), &hints, &found);
  if (problem != 0) complain(where, ::gai_strerror(problem));
  std::vector<SocketAddress> result;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    result.push_back(address);
  }
  ::freeaddrinfo(found);
  return result;
}

}  // namespace

std::vector<Listener> listen_on(const std::string& where, bool others) {
  std::vector<Listener> result;
  if (where.starts_with('@') || where.find('/') != where.npos) {
    try {
      result.push_back(listen_unix(where, others));
    } catch (const std::invalid_argument& problem) {
      complain(where, problem.what());
    }
    return result;
  }
  std::string missing;
  std::uint16_t port = 0;  // any: but the same for all addresses
  for (SocketAddress& address : resolve(where)) {
    if (port != 0 && address.family() == AF_INET)
      reinterpret_cast<sockaddr_in&>(address.storage).sin_port = htons(port);
    else if (port != 0)
      reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port = htons(port);
    try {
      Listener listener{make_socket(where, address), address, {}};
      constexpr int on = 1;
      ::setsockopt(listener.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (address.family() == AF_INET6) ::setsockopt(listener.socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
      bind_and_listen(where, listener);
      port = listener.address.port();
      result.push_back(std::move(listener));
    } catch (const Error& problem) {  // a kernel without IPv6, for one: the others will do
      missing = problem.what();
    }
  }
  if (result.empty()) throw_error(errc::bad_argument, missing);
  return result;
}

std::vector<Listener> inherited_listeners() {
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count = std::getenv("LISTEN_FDS");
  std::vector<Listener> result;
  if (pid != nullptr && count != nullptr && std::atol(pid) == ::getpid()) {
    for (int fd = first_inherited; fd < first_inherited + std::atoi(count); ++fd) {
      int listens = 0;
      socklen_t size = sizeof listens;
      if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
        throw_error(errc::bad_argument,
                    "descriptor " + std::to_string(fd) +
                        " from the service manager is no listening socket; gwserver wants Accept=no");
      if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || set_nonblocking(fd))
        throw_error(last_os_error(), "cannot use descriptor " + std::to_string(fd));
      result.push_back({FileDescriptor(fd), SocketAddress::local(fd), {}});
    }
  }
  for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return result;
}

void forget(const Listener& listener) noexcept {
  if (!listener.unlink.empty()) ::unlink(listener.unlink.c_str());
}

}  // namespace gangway::detail
