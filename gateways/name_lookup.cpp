#include "gateways/name_lookup.hpp"

#include <netdb.h>
#include <signal.h>

#include <boost/asio/post.hpp>

#include <cerrno>
#include <cstring>
#include <thread>

namespace gangway::detail {

namespace {

FoundAddresses resolve(const HostPort& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  FoundAddresses result;
  const int problem = ::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (problem != 0) {
    result.problem = problem == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(problem);
    return result;
  }
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    result.addresses.push_back(address);
  }
  ::freeaddrinfo(found);
  return result;
}

}  // namespace

void look_up(const std::shared_ptr<Runtime>& runtime, const HostPort& where, std::function<void(FoundAddresses)> done) {
  if (auto addresses = SocketAddress::numeric(where); !addresses.empty()) {
    boost::asio::post(runtime->io(),
                      [done = std::move(done), found = FoundAddresses{std::move(addresses), {}}] { done(found); });
    return;
  }
  // Signals are for the program's own threads.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([weak = std::weak_ptr(runtime), where, done = std::move(done)]() mutable {
    FoundAddresses found = resolve(where);
    const auto live = weak.lock();
    if (!live) return;
    boost::asio::post(live->io(), [done = std::move(done), found = std::move(found)] { done(found); });
    live->keep_going();
  }).detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace gangway::detail
