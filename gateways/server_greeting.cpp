#include "gateways/server_greeting.hpp"

#include <array>
#include <utility>

#include <gangway/limits.hpp>

namespace gangway::detail {

namespace {

using namespace std::string_view_literals;

constexpr auto version = "1"sv;
constexpr auto no_bytecode = "nobytecode"sv;
// What an execnet server does with it: says so, reads the next line, and executes that. Unbuffered:
// what follows belongs to the interpreter that the line starts.
constexpr auto for_execnet =
    R"(\nclientsock.sendall(b"GW1 execnet\\n")\nexec(clientsock.makefile("rb", 0).readline()))"sv;
constexpr auto newline = R"(\n)"sv;  // two characters, as they stand in the string

constexpr auto reply_prefix = "GW1 "sv;
constexpr auto refused = "refused "sv;
constexpr std::array kinds{
    std::pair{"native"sv, ServerReply::Kind::native},
    std::pair{"portable"sv, ServerReply::Kind::portable},
    std::pair{"execnet"sv, ServerReply::Kind::execnet},
};

/// The next word of `text`, which loses it.
std::string_view take_word(std::string_view& text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

std::string ServerRequest::line() const {
  std::string text = std::string(prefix) + std::string(version);
  if (!write_bytecode) text += " " + std::string(no_bytecode);
  return text + std::string(for_execnet) + "'\n";
}

std::optional<ServerRequest> ServerRequest::parse(std::string_view line) {
  if (!line.starts_with(prefix)) return {};
  std::string_view words = line.substr(prefix.size());
  const std::size_t end = words.find(newline);
  if (end == words.npos) return {};
  words = words.substr(0, end);
  if (take_word(words) != version) return {};
  ServerRequest request;
  for (std::string_view word = take_word(words); !word.empty(); word = take_word(words))
    if (word == no_bytecode) request.write_bytecode = false;
  return request;
}

std::string ServerReply::line() const {
  std::string line(reply_prefix);
  if (kind == Kind::refused) line += std::string(refused) + text;
  for (const auto& [word, meaning] : kinds)
    if (meaning == kind) line += word;
  line.resize(std::min(line.size(), limits::greeting_line - 1));
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line + "\n";
}

std::optional<ServerReply> ServerReply::parse(std::string_view line) {
  if (!line.starts_with(reply_prefix)) return {};
  line.remove_prefix(reply_prefix.size());
  if (line.starts_with(refused)) return ServerReply{Kind::refused, std::string(line.substr(refused.size()))};
  for (const auto& [word, meaning] : kinds)
    if (line == word) return ServerReply{meaning, {}};
  return {};
}

// The server serves nobody else until the interpreter has ended, as with any other gateway. Which
// loops is its own affair: it may be a server for one connection.
std::string execnet_start_line(std::string_view stage0, bool write_bytecode) {
  std::string line = "import subprocess, sys; subprocess.Popen([sys.executable, '-u', ";
  if (!write_bytecode) line += "'-B', ";
  return line + "'-c', '" + std::string(stage0) + "'], stdin=clientsock.fileno(), stdout=clientsock.fileno()).wait()\n";
}

}  // namespace gangway::detail
