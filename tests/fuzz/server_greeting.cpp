// Any bytes as a client's or a server's line, and as a table of connections: read or refused; what
// is read is written so that it is read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "gateways/server/peer_user.hpp"
#include "gateways/server_greeting.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gangway::detail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto request = ServerRequest::parse(text)) {
    std::string line = request->line();
    line.pop_back();
    require(ServerRequest::parse(line) == request);
  }
  if (const auto reply = ServerReply::parse(text)) {
    std::string line = reply->line();
    require(line.back() == '\n' && line.find('\n') == line.size() - 1);
    line.pop_back();
    const auto again = ServerReply::parse(line);
    require(again && again->kind == reply->kind);
    require(reply->kind == ServerReply::Kind::refused || again == reply);
  }
  static const SocketAddress client = SocketAddress::numeric({"127.0.0.1", 40000}).at(0);
  static const SocketAddress server = SocketAddress::numeric({"127.0.0.1", 8888}).at(0);
  (void)owner_in_table(text, client, server);
  return 0;
}
