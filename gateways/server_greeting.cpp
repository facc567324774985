#include "gateways/server_greeting.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <gangway/limits.hpp>

namespace gangway::detail {

namespace {

using namespace std::string_view_literals;

constexpr auto version = "1"sv;
constexpr auto no_bytecode = "nobytecode"sv;
constexpr auto token_wanted = "death"sv;  // in a request
constexpr auto token_is = "death="sv;     // in a reply, and in the question
// What an execnet server does with it: says so, reads the next line, and executes that. Unbuffered:
// what follows belongs to the interpreter that the line starts.
constexpr auto for_execnet =
    R"(\nclientsock.sendall(b"GW1 execnet\\n")\nexec(clientsock.makefile("rb", 0).readline()))"sv;
constexpr auto newline = R"(\n)"sv;  // two characters, as they stand in the string

constexpr auto reply_prefix = "GW1 "sv;
constexpr auto refused = "refused "sv;
constexpr auto of_death = "death "sv;
constexpr auto exit_is = "exit="sv;
constexpr auto signal_is = "signal="sv;
constexpr auto out_of_memory_is = "oom="sv;
constexpr auto stderr_is = "stderr="sv;
constexpr int largest_exit_status = 255;
constexpr int largest_signal = 64;
constexpr std::size_t token_size = 32;  // 128 bits, in hex
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

/// What stands behind "name=", if that is a number up to `most`.
std::optional<int> number_in(std::string_view word, std::string_view name, int most) {
  if (!word.starts_with(name)) return {};
  word.remove_prefix(name.size());
  int number = 0;
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (problem != std::errc() || end != word.data() + word.size() || number < 0 || number > most) return {};
  return number;
}

std::string token_in(std::string_view word) {
  if (!word.starts_with(token_is)) return {};
  word.remove_prefix(token_is.size());
  return is_token(word) ? std::string(word) : std::string();
}

std::string death_words(const DeathRecord& record, std::size_t stderr_size) {
  std::string text;
  const auto add = [&](std::string_view name, std::size_t number) {
    text.append(text.empty() ? "" : " ").append(name).append(std::to_string(number));
  };
  if (record.exit_status) add(exit_is, static_cast<std::size_t>(*record.exit_status));
  if (record.signal) add(signal_is, static_cast<std::size_t>(*record.signal));
  if (record.out_of_memory) add(out_of_memory_is, *record.out_of_memory ? 1 : 0);
  add(stderr_is, stderr_size);
  return text;
}

std::optional<ServerReply> parse_death(std::string_view words) {
  ServerReply reply;
  reply.kind = ServerReply::Kind::death;
  std::optional<int> size;
  for (std::string_view word = take_word(words); !word.empty(); word = take_word(words)) {
    if (const auto status = number_in(word, exit_is, largest_exit_status)) reply.death.exit_status = status;
    if (const auto signal = number_in(word, signal_is, largest_signal)) reply.death.signal = signal;
    if (const auto killed = number_in(word, out_of_memory_is, 1)) reply.death.out_of_memory = *killed == 1;
    if (const auto bytes = number_in(word, stderr_is, static_cast<int>(limits::stderr_tail))) size = bytes;
  }
  if (!size || reply.death.exit_status.has_value() == reply.death.signal.has_value()) return {};
  if (reply.death.signal == 0) return {};
  reply.stderr_size = static_cast<std::size_t>(*size);
  return reply;
}

}  // namespace

bool is_token(std::string_view text) noexcept {
  return text.size() == token_size && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string ServerRequest::line() const {
  std::string text = std::string(prefix) + std::string(version);
  if (!write_bytecode) text += " " + std::string(no_bytecode);
  if (wants_token) text += " " + std::string(token_wanted);
  if (!death_of.empty()) text += " " + std::string(token_is) + death_of;
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
  for (std::string_view word = take_word(words); !word.empty(); word = take_word(words)) {
    if (word == no_bytecode) request.write_bytecode = false;
    if (word == token_wanted) request.wants_token = true;
    if (std::string token = token_in(word); !token.empty()) request.death_of = std::move(token);
  }
  return request;
}

std::string ServerReply::line() const {
  std::string line(reply_prefix);
  if (kind == Kind::refused) line += std::string(refused) + text;
  if (kind == Kind::death) line += std::string(of_death) + death_words(death, stderr_size);
  for (const auto& [word, meaning] : kinds)
    if (meaning == kind) line += word;
  if (!token.empty()) line += " " + std::string(token_is) + token;
  line.resize(std::min(line.size(), limits::greeting_line - 1));
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line + "\n";
}

std::optional<ServerReply> ServerReply::parse(std::string_view line) {
  if (!line.starts_with(reply_prefix)) return {};
  line.remove_prefix(reply_prefix.size());
  ServerReply reply;
  if (line.starts_with(refused)) {
    reply.text = line.substr(refused.size());
    return reply;
  }
  if (line.starts_with(of_death)) return parse_death(line.substr(of_death.size()));
  const std::string_view kind = take_word(line);
  const auto* const known =
      std::find_if(kinds.begin(), kinds.end(), [&](const auto& each) { return each.first == kind; });
  if (known == kinds.end()) return {};
  reply.kind = known->second;
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line))
    if (std::string token = token_in(word); !token.empty()) reply.token = std::move(token);
  return reply;
}

// The server serves nobody else until the interpreter has ended, as with any other gateway. Which
// loops is its own affair: it may be a server for one connection.
std::string execnet_start_line(std::string_view stage0, bool write_bytecode) {
  std::string line = "import subprocess, sys; subprocess.Popen([sys.executable, '-u', ";
  if (!write_bytecode) line += "'-B', ";
  return line + "'-c', '" + std::string(stage0) + "'], stdin=clientsock.fileno(), stdout=clientsock.fileno()).wait()\n";
}

}  // namespace gangway::detail
