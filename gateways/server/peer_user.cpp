#include "gateways/server/peer_user.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace gangway::detail {

namespace {

constexpr std::string_view established = "01";

// "0100007F:1F90": words as they lie in memory. An IPv4 address has a second form in tcp6.
std::vector<std::string> forms_of(const SocketAddress& address) {
  char text[48];
  const unsigned port = address.port();
  if (address.family() == AF_INET6) {
    std::uint32_t words[4];
    std::memcpy(words, &reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr, sizeof words);
    std::snprintf(text, sizeof text, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3], port);
    std::vector<std::string> forms{text};
    if (words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff)) {
      std::snprintf(text, sizeof text, "%08X:%04X", words[3], port);
      forms.emplace_back(text);
    }
    return forms;
  }
  const std::uint32_t word = reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr.s_addr;
  std::snprintf(text, sizeof text, "%08X:%04X", word, port);
  std::vector<std::string> forms{text};
  std::snprintf(text, sizeof text, "%08X%08X%08X%08X:%04X", 0u, 0u, htonl(0xffff), word, port);
  forms.emplace_back(text);
  return forms;
}

std::string_view take_word(std::string_view& line) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

template <class Number>
std::optional<Number> number(std::string_view word) {
  Number value{};
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (problem != std::errc() || end != word.data() + word.size()) return {};
  return value;
}

}  // namespace

std::optional<uid_t> owner_in_table(std::string_view table, const SocketAddress& from, const SocketAddress& to) {
  const auto local = forms_of(from);
  const auto remote = forms_of(to);
  const auto is_one_of = [](const std::vector<std::string>& forms, std::string_view word) {
    return std::find(forms.begin(), forms.end(), word) != forms.end();
  };
  while (!table.empty()) {
    std::string_view line = table.substr(0, table.find('\n'));
    table.remove_prefix(std::min(table.size(), line.size() + 1));
    (void)take_word(line);  // its number
    if (!is_one_of(local, take_word(line)) || !is_one_of(remote, take_word(line))) continue;
    // One that is closed has lost its owner, and shows root instead.
    if (take_word(line) != established) return {};
    for (int skipped = 0; skipped < 3; ++skipped) (void)take_word(line);  // queues, timer, retransmissions
    const auto uid = number<uid_t>(take_word(line));
    (void)take_word(line);
    if (number<std::uint64_t>(take_word(line)).value_or(0) == 0) return {};  // no inode: nobody's
    return uid;
  }
  return {};
}

std::optional<uid_t> peer_user(int socket) {
  const SocketAddress peer = SocketAddress::peer(socket);
  const SocketAddress own = SocketAddress::local(socket);
  if (own.is_unix()) {
    ucred user{};
    socklen_t size = sizeof user;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &user, &size) != 0) return {};
    return user.uid;
  }
  if (!peer.is_loopback()) return {};
  for (const char* const name : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream file(name);
    const std::string table{std::istreambuf_iterator<char>(file), {}};
    if (const auto uid = owner_in_table(table, peer, own)) return uid;
  }
  return {};
}

}  // namespace gangway::detail
