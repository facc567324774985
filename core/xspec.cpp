#include <gangway/xspec.hpp>

#include <gangway/limits.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "core/command_words.hpp"
#include "core/escape.hpp"
#include "core/utf8.hpp"

namespace gangway {

namespace {

using namespace std::string_view_literals;

constexpr auto separator = "//"sv;
constexpr auto env_prefix = "env:"sv;

constexpr std::array exec_models{
    std::pair{"thread"sv, ExecModel::thread},
    std::pair{"main_thread_only"sv, ExecModel::main_thread_only},
    std::pair{"gevent"sv, ExecModel::gevent},
    std::pair{"eventlet"sv, ExecModel::eventlet},
};

constexpr std::array output_modes{
    std::pair{"null"sv, OutputMode::null},
    std::pair{"inherit"sv, OutputMode::inherit},
    std::pair{"forward"sv, OutputMode::forward},
    std::pair{"callback"sv, OutputMode::callback},
};

enum class Operand { none, optional, required };

struct Transport {
  std::string_view key;
  TransportKind kind;
  Operand operand;
};

constexpr std::array transports{
    Transport{"popen"sv, TransportKind::popen, Operand::none},
    Transport{"ssh"sv, TransportKind::ssh, Operand::required},
    Transport{"vagrant_ssh"sv, TransportKind::vagrant_ssh, Operand::required},
    Transport{"socket"sv, TransportKind::socket, Operand::required},  // unless installvia= stands beside it
    Transport{"unix"sv, TransportKind::unix_socket, Operand::required},
    Transport{"command"sv, TransportKind::command, Operand::required},
    Transport{"docker"sv, TransportKind::docker, Operand::required},
    Transport{"podman"sv, TransportKind::podman, Operand::required},
    Transport{"kubectl"sv, TransportKind::kubectl, Operand::required},
    Transport{"sudo"sv, TransportKind::sudo, Operand::optional},  // nobody named: root
    Transport{"su"sv, TransportKind::su, Operand::optional},      // likewise
    Transport{"doas"sv, TransportKind::doas, Operand::optional},  // likewise
    Transport{"nsenter"sv, TransportKind::nsenter, Operand::required},
    Transport{"unshare"sv, TransportKind::unshare, Operand::required},
    Transport{"slurm"sv, TransportKind::slurm, Operand::optional},  // srun's own defaults
};

/// The word that stands for `value` in such a table.
template <class Table, class Value>
std::string_view word_for(const Table& table, Value value) noexcept {
  for (const auto& [word, meaning] : table) {
    if (meaning == value) return word;
  }
  return "";
}

/// One line for a terminal.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : detail::escape_for_display(text)) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += c;
    }
  }
  return out;
}

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

std::size_t columns(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), starts_character));
}

std::string first_columns(std::string_view utf8, std::size_t count) {
  std::size_t end = 0;
  while (end < utf8.size() && !(starts_character(utf8[end]) && count-- == 0)) ++end;
  return std::string(utf8.substr(0, end)) + (end < utf8.size() ? "..." : "");
}

std::string last_columns(std::string_view utf8, std::size_t count) {
  std::size_t begin = utf8.size();
  while (begin > 0 && count > 0) count -= starts_character(utf8[--begin]);
  return (begin > 0 ? "..." : "") + std::string(utf8.substr(begin));
}

std::string quoted(std::string_view text) { return "'" + first_columns(one_line(text), 60) + "'"; }

/// What is wrong (which may name a key: any bytes), the text, and a caret under the place; a
/// long text is cut around it.
std::string pointing_at(std::string_view text, std::size_t position, const std::string& what) {
  const std::string before = last_columns(one_line(text.substr(0, position)), 60);
  const std::string after = first_columns(one_line(text.substr(position)), 60);
  return one_line(what) + "\n    " + before + after + "\n    " + std::string(columns(before), ' ') + "^";
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

/// The unit's factor, 0 when there is no such unit. KiB and KB as dd and rsync have them.
std::uint64_t size_unit(std::string_view unit) {
  if (unit.empty() || equal_ignoring_case(unit, "b")) return 1;
  const std::string_view rest = unit.substr(1);
  const bool binary = rest.empty() || equal_ignoring_case(rest, "ib");
  if (!binary && !equal_ignoring_case(rest, "b")) return 0;
  const std::uint64_t step = binary ? 1024 : 1000;
  switch (unit[0]) {
    case 'k':
    case 'K': return step;
    case 'm':
    case 'M': return step * step;
    case 'g':
    case 'G': return step * step * step;
    case 't':
    case 'T': return step * step * step * step;
    default: return 0;
  }
}

/// The unit's length in seconds, 0 when there is no such unit.
double time_unit(std::string_view unit) {
  if (unit.empty() || unit == "s") return 1;
  if (unit == "ms") return 0.001;
  if (unit == "m" || unit == "min") return 60;
  if (unit == "h") return 3600;
  return 0;
}

std::optional<bool> truth(std::string_view word) {
  for (const auto yes : {"1"sv, "true"sv, "yes"sv, "on"sv}) {
    if (equal_ignoring_case(word, yes)) return true;
  }
  for (const auto no : {"0"sv, "false"sv, "no"sv, "off"sv}) {
    if (equal_ignoring_case(word, no)) return false;
  }
  return std::nullopt;
}

/// What is wrong with a key, "" when nothing is.
std::string key_problem(std::string_view key) {
  if (key.empty()) return "a key is missing";
  if (key.front() == '_') return "keys that start with '_' are private";
  return {};
}

std::string env_problem(std::string_view name, std::string_view value) {
  if (name.empty()) return "env: needs a name (env:NAME=value)";
  if (name.find('=') != name.npos) return "the name of an environment variable cannot contain '='";
  if (name.find('\0') != name.npos || value.find('\0') != value.npos) {
    return "an environment variable cannot contain a NUL";
  }
  return {};
}

std::string unknown_execmodel(std::string_view name) {
  std::string known;
  for (const auto& [word, model] : exec_models) known += (known.empty() ? "" : ", ") + std::string(word);
  return "unknown execution model " + quoted(name) + " (one of " + known + ")";
}

constexpr auto env_is_reserved = "'env' is the environment: write env:NAME=value";

}  // namespace

std::string_view to_string(ExecModel model) noexcept { return word_for(exec_models, model); }
std::string_view to_string(OutputMode mode) noexcept { return word_for(output_modes, mode); }

ExecModel execmodel_named(std::string_view name) {
  for (const auto& [word, model] : exec_models) {
    if (word == name) return model;
  }
  throw SpecParseError(SpecFault::bad_value, std::nullopt, unknown_execmodel(name));
}

std::string_view to_string(TransportKind kind) noexcept {
  for (const Transport& transport : transports) {
    if (transport.kind == kind) return transport.key;
  }
  return "";
}

XSpec::XSpec(std::string_view text) : text_(text) {
  const std::string_view all = text_;
  for (std::size_t at = 0;;) {
    const std::size_t end = std::min(all.find(separator, at), all.size());
    const std::string_view part = all.substr(at, end - at);
    const std::size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    std::optional<std::string> value;
    if (equals != part.npos) value = part.substr(equals + 1);
    const std::size_t value_at = value ? at + equals + 1 : at;

    if (part.empty()) reject_at(SpecFault::empty_part, at, all.empty() ? "the spec is empty" : "a part is empty");
    if (const std::string problem = key_problem(key); !problem.empty()) {
      reject_at(key.empty() ? SpecFault::empty_part : SpecFault::private_key, at, problem);
    }
    if (key.starts_with(env_prefix)) {
      const std::string_view name = key.substr(env_prefix.size());
      const std::string problem = env_problem(name, value ? std::string_view(*value) : ""sv);
      if (!problem.empty()) reject_at(SpecFault::bad_value, at, problem);
      env_.insert_or_assign(std::string(name), std::move(value));
    } else {
      if (key == "env") reject_at(SpecFault::duplicate_key, at, env_is_reserved);
      if (has(key)) reject_at(SpecFault::duplicate_key, at, "the key " + quoted(key) + " is given twice");
      entries_.push_back({std::string(key), std::move(value), at, value_at});
    }
    if (end == all.size()) return;
    at = end + separator.size();
  }
}

const XSpec::Entry* XSpec::find(std::string_view key) const noexcept {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  return found == entries_.end() ? nullptr : &*found;
}

bool XSpec::has(std::string_view key) const noexcept { return find(key) != nullptr; }

std::optional<std::string> XSpec::get(std::string_view key) const {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  return entry->value.value_or("");
}

bool XSpec::is_true(std::string_view key) const noexcept {
  const Entry* entry = find(key);
  return entry && !entry->value;
}

std::vector<std::string> XSpec::keys() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) result.push_back(entry.key);
  return result;
}

XSpec::Entry& XSpec::find_or_add(std::string_view key) {
  if (const std::string problem = key_problem(key); !problem.empty()) {
    throw SpecParseError(key.empty() ? SpecFault::empty_part : SpecFault::private_key, std::nullopt,
                         problem + ": " + quoted(key));
  }
  if (key == "env" || key.starts_with(env_prefix)) {
    throw SpecParseError(SpecFault::duplicate_key, std::nullopt, "environment variables are assigned with set_env");
  }
  if (const Entry* entry = find(key)) return entries_[static_cast<std::size_t>(entry - entries_.data())];
  return entries_.emplace_back(Entry{std::string(key), {}, {}, {}});
}

void XSpec::set(std::string_view key, std::string_view value) {
  find_or_add(key) = Entry{std::string(key), std::string(value), {}, {}};
}

void XSpec::set_true(std::string_view key) { find_or_add(key) = Entry{std::string(key), {}, {}, {}}; }

void XSpec::unset(std::string_view key) noexcept {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.key == key; });
}

void XSpec::set_env(std::string_view name, std::optional<std::string> value) {
  const std::string problem = env_problem(name, value ? std::string_view(*value) : ""sv);
  if (!problem.empty()) throw SpecParseError(SpecFault::bad_value, std::nullopt, problem + ": " + quoted(name));
  env_.insert_or_assign(std::string(name), std::move(value));
}

void XSpec::unset_env(std::string_view name) noexcept {
  if (const auto found = env_.find(name); found != env_.end()) env_.erase(found);
}

void XSpec::reject_at(SpecFault fault, std::size_t position, const std::string& what) const {
  throw SpecParseError(fault, position, pointing_at(text_, position, what));
}

void XSpec::reject_entry(const Entry& entry, SpecFault fault, const std::string& what, std::size_t within_value) const {
  if (entry.value_at) reject_at(fault, *entry.value_at + (entry.value ? within_value : 0), what);
  const std::string assigned = entry.key + (entry.value ? "=" + *entry.value : "");
  const std::size_t position = entry.value ? entry.key.size() + 1 + within_value : 0;
  throw SpecParseError(fault, std::nullopt, pointing_at(assigned, position, what + " (an assigned value)"));
}

void XSpec::reject(std::string_view key, const std::string& what) const {
  if (const Entry* entry = find(key)) reject_entry(*entry, SpecFault::bad_value, what);
  throw SpecParseError(SpecFault::bad_value, std::nullopt,
                       one_line(what) + "\n    " + first_columns(one_line(text_), 120));
}

std::optional<std::string> XSpec::argument(std::string_view key) const {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  if (!entry->value) reject_entry(*entry, SpecFault::bad_value, entry->key + "= needs a value");
  if (entry->value->empty()) reject_entry(*entry, SpecFault::bad_value, "the value of " + entry->key + "= is empty");
  if (const std::size_t at = entry->value->find_first_of("\0\n"sv); at != std::string::npos) {
    const auto which = (*entry->value)[at] == '\n' ? "a newline" : "a NUL";
    reject_entry(*entry, SpecFault::bad_value, "the value of " + entry->key + "= contains " + which, at);
  }
  return entry->value;
}

std::optional<std::string> XSpec::text_argument(std::string_view key) const {
  auto value = argument(key);
  if (!value) return value;
  if (const std::size_t at = detail::find_bad_utf8(*value); at < value->size()) {
    reject_entry(*find(key), SpecFault::bad_value, "the value of " + std::string(key) + "= is not UTF-8", at);
  }
  return value;
}

std::vector<std::string> XSpec::command(std::string_view key) const {
  const auto value = argument(key);
  if (!value) return {};
  detail::CommandWords result = detail::command_words(*value);
  if (!result.problem.empty()) {
    reject_entry(*find(key), SpecFault::bad_command, result.problem, result.position);
  }
  return std::move(result.words);
}

TransportKind XSpec::kind() const {
  const Entry* chosen = nullptr;
  Transport transport{};
  for (const Entry& entry : entries_) {
    const auto found = std::find_if(transports.begin(), transports.end(), [&](auto& t) { return t.key == entry.key; });
    if (found == transports.end()) continue;
    if (chosen) {
      const std::string what = chosen->key + " and " + entry.key + " are both transports: a spec has one";
      if (entry.key_at) reject_at(SpecFault::bad_transport, *entry.key_at, what);
      reject_entry(entry, SpecFault::bad_transport, what);
    }
    chosen = &entry;
    transport = *found;
  }
  const Entry* install = find("installvia");
  if (install && chosen && transport.kind != TransportKind::socket) {
    reject_entry(*install, SpecFault::bad_transport,
                 "installvia= installs a socket server: it does not go with " + chosen->key);
  }
  const Entry* via = find("via");
  const bool is_socket = transport.kind == TransportKind::socket || transport.kind == TransportKind::unix_socket;
  if (via && (install || (chosen && is_socket))) {
    reject_entry(*via, SpecFault::bad_transport, "via= does not go with a socket (installvia= may be what is meant)");
  }
  if (!chosen && install) return TransportKind::socket;
  if (!chosen) {
    std::string known;
    for (const Transport& t : transports) known += (known.empty() ? "" : ", ") + std::string(t.key);
    throw SpecParseError(SpecFault::bad_transport, std::nullopt,
                         "no transport in the spec (one of " + known + ")\n    " + first_columns(one_line(text_), 120));
  }
  const bool bare_is_fine = transport.operand == Operand::optional || install;
  if (transport.operand != Operand::none && !(bare_is_fine && !chosen->value)) (void)argument(chosen->key);
  return transport.kind;
}

std::optional<int> XSpec::nice() const {
  const auto value = argument("nice");
  if (!value) return std::nullopt;
  std::string_view digits = *value;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  int result = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), result);
  if (problem != std::errc() || end != digits.data() + digits.size()) {
    reject("nice", "nice= needs an integer, not " + quoted(*value));
  }
  return result;
}

bool XSpec::boolean(std::string_view key) const {
  const Entry* entry = find(key);
  if (!entry) return false;
  if (!entry->value) return true;
  const auto result = truth(*entry->value);
  if (!result) reject_entry(*entry, SpecFault::bad_value, "neither yes nor no: " + quoted(*entry->value));
  return *result;
}

std::optional<ExecModel> XSpec::execmodel() const {
  const auto value = argument("execmodel");
  if (!value) return std::nullopt;
  for (const auto& [word, model] : exec_models) {
    if (word == *value) return model;
  }
  reject("execmodel", unknown_execmodel(*value));
}

std::uint64_t XSpec::size_of(const Entry& entry) const {
  const std::string value = *argument(entry.key);
  std::uint64_t number = 0;
  const char* last = value.data() + value.size();
  const auto [end, problem] = std::from_chars(value.data(), last, number);
  const std::uint64_t unit = size_unit(std::string_view(end, static_cast<std::size_t>(last - end)));
  if (problem == std::errc::invalid_argument || unit == 0) {
    reject_entry(entry, SpecFault::bad_value,
                 entry.key + "= needs a number of bytes, like 65536, 64K or 16MiB, not " + quoted(value));
  }
  // It travels as a signed 64-bit integer.
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (problem == std::errc::result_out_of_range || number > most / unit) {
    reject_entry(entry, SpecFault::bad_value, entry.key + "= is more than 64 bits can count");
  }
  return number * unit;
}

std::uint64_t XSpec::window() const {
  const Entry* entry = find("window");
  if (!entry) return limits::window;
  const std::uint64_t size = size_of(*entry);
  if (size != 0 && size < limits::window_least) {
    reject_entry(*entry, SpecFault::bad_value,
                 "window= is 0 (unlimited) or at least " + std::to_string(limits::window_least) + " bytes");
  }
  return size;
}

std::uint64_t XSpec::max_item() const {
  const Entry* entry = find("max_item");
  if (!entry) return limits::item;
  const std::uint64_t size = size_of(*entry);
  if (size == 0) reject_entry(*entry, SpecFault::bad_value, "max_item= is at least 1 byte");
  return size;
}

std::chrono::milliseconds XSpec::duration_of(const Entry& entry) const {
  const std::string value = *argument(entry.key);
  double number = 0;
  const char* last = value.data() + value.size();
  const auto [end, problem] = std::from_chars(value.data(), last, number, std::chars_format::fixed);
  const double seconds = number * time_unit(std::string_view(end, static_cast<std::size_t>(last - end)));
  const bool unit_known = time_unit(std::string_view(end, static_cast<std::size_t>(last - end))) != 0;
  if (problem == std::errc::invalid_argument || !unit_known || !std::isfinite(number) || std::signbit(number)) {
    reject_entry(entry, SpecFault::bad_value,
                 entry.key + "= needs a time, like 30 (seconds), 0.5, 500ms or 2m, not " + quoted(value));
  }
  constexpr double most = 365 * 24 * 3600.0;  // far from what overflows a steady_clock deadline
  if (problem == std::errc::result_out_of_range || seconds > most) {
    reject_entry(entry, SpecFault::bad_value, entry.key + "= is more than a year");
  }
  // Up, so that what is more than nothing stays more than nothing.
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

std::chrono::milliseconds XSpec::connect_timeout() const {
  const Entry* entry = find("connect_timeout");
  if (!entry) return limits::bootstrap_time;
  const auto result = duration_of(*entry);
  if (result.count() == 0) reject_entry(*entry, SpecFault::bad_value, "connect_timeout= must be more than 0");
  return result;
}

std::chrono::milliseconds XSpec::keepalive() const {
  const Entry* entry = find("keepalive");
  if (!entry) return limits::ping_interval;
  if (entry->value && equal_ignoring_case(*entry->value, "off")) return std::chrono::milliseconds(0);
  return duration_of(*entry);
}

OutputMode XSpec::output_mode(std::string_view key, OutputMode usual) const {
  const auto value = argument(key);
  if (!value) return usual;
  for (const OutputMode mode : {usual, OutputMode::forward, OutputMode::callback}) {
    if (*value == to_string(mode)) return mode;
  }
  reject(key,
         std::string(key) + "= is " + std::string(to_string(usual)) + ", forward or callback, not " + quoted(*value));
}

OutputMode XSpec::stdout_mode() const { return output_mode("stdout", OutputMode::null); }
OutputMode XSpec::stderr_mode() const { return output_mode("stderr", OutputMode::inherit); }

std::optional<int> XSpec::compress() const {
  const Entry* entry = find("compress");
  if (!entry) return std::nullopt;
  constexpr int usual_level = 6;  // zlib's own default
  if (!entry->value || equal_ignoring_case(*entry->value, "on")) return usual_level;
  if (equal_ignoring_case(*entry->value, "off")) return 0;
  if (entry->value->size() != 1 || entry->value->front() < '0' || entry->value->front() > '9') {
    reject_entry(*entry, SpecFault::bad_value,
                 "compress= is on, off or a level from 0 to 9, not " + quoted(*entry->value));
  }
  return entry->value->front() - '0';
}

std::vector<std::string> split_command(std::string_view command) {
  detail::CommandWords result = detail::command_words(command);
  if (!result.problem.empty()) {
    throw SpecParseError(SpecFault::bad_command, result.position,
                         pointing_at(command, result.position, result.problem));
  }
  return std::move(result.words);
}

}  // namespace gangway
