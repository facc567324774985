#include "gateways/warm_protocol.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace gangway::detail {

namespace {

using boost::system::error_code;

constexpr std::size_t most_descriptors = 3;

struct alignas(cmsghdr) ControlSpace {
  std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> bytes{};
};

error_code error_of(int number) { return {number, boost::system::system_category()}; }

}  // namespace

std::array<FileDescriptor, 2> make_warm_socket() {
  std::array<int, 2> fds{};
  const auto fail_now = [] { throw_error(last_os_error(), "cannot make a socket: " + last_os_error().message()); };
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0) fail_now();
  std::array<FileDescriptor, 2> ends{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
  if (!avoid_standard_numbers(ends[0]) || !avoid_standard_numbers(ends[1])) fail_now();
  return ends;
}

bool is_warm_socket(int fd) noexcept {
  int type = 0;
  int domain = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
         ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

pid_t maker_of(int socket) noexcept {
  ucred maker{};
  socklen_t size = sizeof maker;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 ? maker.pid : -1;
}

error_code send_packet(int socket, std::span<const std::byte> packet, std::span<const int> descriptors) noexcept {
  iovec content{const_cast<std::byte*>(packet.data()), packet.size()};
  ControlSpace space;
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = space.bytes.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t size;
  do size = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (size < 0 && errno == EINTR);
  return size < 0 ? last_os_error() : error_code();
}

error_code receive_packet(int socket, std::span<std::byte> packet, std::chrono::milliseconds patience) noexcept {
  using std::chrono::steady_clock;
  for (const auto deadline = steady_clock::now() + patience;;) {
    const ssize_t size = ::recv(socket, packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size >= 0) return static_cast<std::size_t>(size) == packet.size() ? error_code() : error_of(ECONNRESET);
    if (errno != EAGAIN && errno != EINTR) return last_os_error();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return error_of(ETIMEDOUT);
    pollfd watched{socket, POLLIN, 0};
    (void)::poll(&watched, 1, static_cast<int>(left.count()));
  }
}

std::optional<std::array<FileDescriptor, 3>> receive_request(int socket) noexcept {
  char byte = 0;
  iovec content{&byte, 1};
  ControlSpace space;
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = space.bytes.data();
  message.msg_controllen = space.bytes.size();
  ssize_t size;
  do size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size != 1) return {};
  std::array<FileDescriptor, 3> result;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = std::min((header->cmsg_len - CMSG_LEN(0)) / sizeof(int), most_descriptors);
    std::array<int, most_descriptors> fds{};
    std::memcpy(fds.data(), CMSG_DATA(header), count * sizeof(int));
    for (std::size_t at = 0; at < count; ++at) result[at].reset(fds[at]);
  }
  return result;
}

}  // namespace gangway::detail
