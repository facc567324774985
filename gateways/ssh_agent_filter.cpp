#include "gateways/ssh_agent_filter.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace gangway::detail {

namespace {

constexpr char identities_answer = 12;                 // draft-miller-ssh-agent, section 6.1
constexpr std::uint32_t longest_message = 256 * 1024;  // as in OpenSSH

std::uint32_t number_at(std::string_view text, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(text[at + i]);
  return number;
}

std::string number_text(std::size_t number) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(number >> shift & 0xff);
  return text;
}

// "length, bytes" at the front of `rest`, taken off it, length included.
std::optional<std::string_view> take_string(std::string_view& rest) {
  if (rest.size() < 4) return {};
  const std::uint32_t size = number_at(rest, 0);
  if (size > rest.size() - 4) return {};
  const std::string_view taken = rest.substr(0, 4 + size);
  rest.remove_prefix(taken.size());
  return taken;
}

bool read_all(int fd, char* at, std::size_t size) {
  while (size > 0) {
    const ssize_t got = ::recv(fd, at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<std::string> read_message(int fd) {
  std::string head(4, '\0');
  if (!read_all(fd, head.data(), head.size())) return {};
  const std::uint32_t size = number_at(head, 0);
  if (size > longest_message) return {};
  std::string message(size, '\0');
  if (!read_all(fd, message.data(), message.size())) return {};
  return message;
}

bool write_message(int fd, const std::string& message) {
  const std::string all = number_text(message.size()) + message;
  for (std::size_t at = 0; at < all.size();) {
    const ssize_t sent = ::send(fd, all.data() + at, all.size() - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

std::optional<std::string> filter_identities(std::string message, const std::vector<std::string>& named,
                                             bool only_named) {
  if (message.size() < 5 || message.front() != identities_answer) return message;
  std::uint32_t left = number_at(message, 1);
  std::string_view rest = std::string_view(message).substr(5);
  std::vector<std::string> first(named.size());
  std::string others;
  std::size_t count = 0;
  for (; left > 0; --left) {
    const auto key = take_string(rest);
    const auto comment = key ? take_string(rest) : std::nullopt;
    if (!comment) return {};
    const auto found = std::find(named.begin(), named.end(), key->substr(4));
    if (found == named.end() && only_named) continue;
    ++count;
    std::string& where = found == named.end() ? others : first[static_cast<std::size_t>(found - named.begin())];
    where.append(*key).append(*comment);
  }
  std::string result = identities_answer + number_text(count);
  for (const std::string& each : first) result += each;
  return result + others;
}

std::string decode_base64(std::string_view text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::size_t value = digits.find(c);
    if (value == digits.npos) return {};
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if ((count += 6) < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

SshAgentFilter::SshAgentFilter(FileDescriptor agent, std::vector<std::string> named, bool only_named)
    : agent_(std::move(agent)), named_(std::move(named)), only_named_(only_named) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    throw_error(last_os_error(), "cannot make a socket: " + last_os_error().message());
  ours_.reset(fds[0]);
  theirs_.reset(fds[1]);
  if (!avoid_standard_numbers(ours_) || !avoid_standard_numbers(theirs_))
    throw_error(last_os_error(), "cannot make a socket: " + last_os_error().message());
  thread_ = std::thread([this] { run(); });
}

SshAgentFilter::~SshAgentFilter() {
  (void)::shutdown(agent_.get(), SHUT_RDWR);
  (void)::shutdown(ours_.get(), SHUT_RDWR);
  thread_.join();
}

void SshAgentFilter::run() {
  for (;;) {
    const auto request = read_message(ours_.get());
    if (!request || !write_message(agent_.get(), *request)) break;
    auto answer = read_message(agent_.get());
    if (answer) answer = filter_identities(std::move(*answer), named_, only_named_);
    if (!answer || !write_message(ours_.get(), *answer)) break;
  }
  (void)::shutdown(ours_.get(), SHUT_RDWR);
}

}  // namespace gangway::detail
