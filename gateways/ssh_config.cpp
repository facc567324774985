#include "gateways/ssh_config.hpp"

#include <glob.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <utility>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/escape.hpp"
#include "gateways/ssh_file.hpp"

namespace gangway::detail {

namespace {

constexpr int deepest_include = 16;  // OpenSSH's

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

bool matches_pattern(std::string_view text, std::string_view pattern) {
  std::size_t t = 0;
  std::size_t p = 0;
  std::size_t star = pattern.npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == text[t]))) {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> split_at_commas(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (end > at) parts.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// Words of a configuration line: blanks separate, "..." and '...' hold together, # begins a comment.
// Nothing for a quote that is not closed.
std::optional<std::vector<std::string>> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0;;) {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
    if (at >= text.size() || text[at] == '#') return words;
    std::string word;
    char quote = 0;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\'' || text[at + 1] == '\\')) {
        word += text[++at];
      } else if (quote != 0) {
        if (c == quote)
          quote = 0;
        else
          word += c;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == ' ' || c == '\t') {
        break;
      } else {
        word += c;
      }
    }
    if (quote != 0) return {};
    words.push_back(std::move(word));
  }
}

// Some of what these ask for would be left out in silence, so that less is checked than was asked for.
constexpr std::array not_in_process{"revokedhostkeys", "proxyusefdpass"};

}  // namespace

LocalUser LocalUser::now() {
  std::array<char, 16 * 1024> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found) != 0) found = nullptr;
  LocalUser user;
  if (found != nullptr) user = {found->pw_name, found->pw_dir};
  if (const char* const name = std::getenv("USER"); user.name.empty() && name != nullptr) user.name = name;
  if (const char* const home = std::getenv("HOME"); user.home.empty() && home != nullptr) user.home = home;
  return user;
}

std::string expand_tokens(std::string_view text, Variables variables,
                          const std::function<std::optional<std::string>(char)>& meaning) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::size_t end = text.find('}', at);
    if (variables == Variables::expanded && text.substr(at).starts_with("${") && end != text.npos) {
      const std::string name(text.substr(at + 2, end - at - 2));
      const char* const value = std::getenv(name.c_str());
      if (value == nullptr) throw_error(errc::bad_spec, "ssh configuration: the environment has no ${" + name + "}");
      result += value;
      at = end;
    } else if (text[at] != '%') {
      result += text[at];
    } else {
      const char name = ++at < text.size() ? text[at] : '\0';
      const auto meant = name == '%' ? "%" : meaning(name);
      if (!meant)
        throw_error(errc::bad_spec, "ssh configuration: an unknown % in " + escape_for_display(text) +
                                        " (ssh_client=openssh may know it)");
      result += *meant;
    }
  }
  return result;
}

std::string expand_home(std::string path, const LocalUser& user) {
  if (path == "~" || path.starts_with("~/")) path.replace(0, 1, user.home);
  return path;
}

bool matches_patterns(std::string_view name, const std::vector<std::string>& patterns) {
  bool found = false;
  for (const std::string& pattern : patterns) {
    const bool negated = pattern.starts_with('!');
    if (!matches_pattern(name, std::string_view(pattern).substr(negated ? 1 : 0))) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

struct SshConfig::Place {
  std::string path;
  int line;
  [[noreturn]] void fail(const std::string& why) const {
    throw_error(errc::bad_spec,
                "ssh configuration " + path + ":" + std::to_string(line) + ": " + escape_for_display(why));
  }
};

SshConfig::SshConfig(std::string host, std::optional<std::string> user, LocalUser local)
    : host_(std::move(host)), user_(std::move(user)), local_(std::move(local)) {}

void SshConfig::set(std::string_view keyword, std::vector<std::string> arguments) {
  const std::string key = lower(keyword);
  auto& values = values_[key];
  if (values.empty()) {
    values = std::move(arguments);
  } else if (key == "identityfile" || key == "certificatefile") {
    for (std::string& more : arguments)
      if (std::find(values.begin(), values.end(), more) == values.end()) values.push_back(std::move(more));
  }
}

void SshConfig::set_line(std::string_view line, const std::string& where) {
  bool active = true;
  read_text(std::string(line), where, Whose::users, deepest_include, active);
}

void SshConfig::read_file(const std::string& path) { read(path, Whose::users, false, true); }

void SshConfig::read_default_files() {
  read(local_.home + "/.ssh/config", Whose::users, true, false);
  read("/etc/ssh/ssh_config", Whose::systems, false, false);
}

// Twice when a "Match final" was found: its lines come last.
void SshConfig::read(const std::string& path, Whose whose, bool private_file, bool required) {
  const auto text = read_ssh_file(path, errc::bad_spec, "configuration", private_file);
  if (!text && required) throw_error(errc::bad_spec, "ssh configuration " + path + ": no such file");
  if (!text) return;
  bool active = true;
  final_pass_ = final_wanted_ = false;
  read_text(*text, path, whose, 0, active);
  if (!final_wanted_) return;
  final_pass_ = true;
  active = true;
  read_text(*text, path, whose, 0, active);
}

void SshConfig::read_text(const std::string& text, const std::string& path, Whose whose, int depth, bool& active) {
  Place place{path, 0};
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++place.line;
    while (!line.empty() && std::string_view(" \t\r\f").find(line.back()) != line.npos) line.remove_suffix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.empty() || line.front() == '#') continue;
    if (line.find('\0') != line.npos) place.fail("a NUL");

    const std::string keyword = lower(line.substr(0, line.find_first_of(" \t=")));
    line.remove_prefix(keyword.size());
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.starts_with('=')) line.remove_prefix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    if (line.empty()) place.fail(keyword + " has no value");

    if (keyword == "proxycommand") {  // the rest of the line, for a shell
      if (active) set(keyword, {std::string(line)});
      continue;
    }
    auto words = words_of(line);
    if (!words) place.fail("a quote is not closed");
    if (words->empty()) place.fail(keyword + " has no value");
    if (keyword == "host") {
      active = matches_patterns(host_, *words);
    } else if (keyword == "match") {
      active = match(*words, place);
    } else if (keyword == "include") {
      if (!active) continue;
      for (const std::string& pattern : *words) include(pattern, place, whose, depth, active);
    } else if (active) {
      if (std::find(not_in_process.begin(), not_in_process.end(), keyword) != not_in_process.end() &&
          words->front() != "none" && words->front() != "no")
        place.fail(keyword + " is for the ssh program only: ssh_client=openssh uses that");
      set(keyword, std::move(*words));
    }
  }
}

void SshConfig::include(const std::string& pattern, const Place& place, Whose whose, int depth, bool& active) {
  if (depth >= deepest_include) place.fail("too many levels of Include");
  std::string path = expand_home(pattern, local_);
  if (!path.starts_with('/')) path = (whose == Whose::users ? local_.home + "/.ssh/" : "/etc/ssh/") + path;
  glob_t found{};
  const int problem = ::glob(path.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths;
  for (std::size_t at = 0; problem == 0 && at < found.gl_pathc; ++at) paths.emplace_back(found.gl_pathv[at]);
  ::globfree(&found);
  for (const std::string& each : paths) {
    const auto text = read_ssh_file(each, errc::bad_spec, "configuration", true);
    bool inner = active;
    if (text) read_text(*text, each, whose, depth + 1, inner);
  }
}

bool SshConfig::match(const std::vector<std::string>& arguments, const Place& place) {
  bool all_hold = true;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    std::string name = lower(arguments[at]);
    const bool negated = name.starts_with('!');
    if (negated) name.erase(0, 1);
    bool holds = false;
    if (name == "all") {
      holds = true;
    } else if (name == "final" || name == "canonical") {
      final_wanted_ = final_wanted_ || name == "final";
      holds = final_pass_ && name == "final";
    } else {
      if (++at >= arguments.size()) place.fail("Match " + name + " has no value");
      if (!all_hold) continue;  // decided
      if (name != "host" && name != "originalhost" && name != "user" && name != "localuser")
        place.fail("Match " + name + " is for the ssh program only: ssh_client=openssh uses that");
      const auto patterns = split_at_commas(arguments[at]);
      const std::string subject = name == "originalhost" ? host_
                                  : name == "host"       ? host_name()
                                  : name == "localuser"  ? local_.name
                                                         : user_.value_or(get("user").value_or(local_.name));
      holds = matches_patterns(subject, patterns);
    }
    all_hold = all_hold && holds != negated;
  }
  return all_hold;
}

std::string SshConfig::host_name() const {
  return expand_tokens(get("hostname").value_or("%h"), Variables::kept,
                       [this](char name) { return name == 'h' ? std::optional(host_) : std::nullopt; });
}

std::vector<std::string> SshConfig::all(std::string_view keyword) const {
  const auto found = values_.find(keyword);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

std::optional<std::string> SshConfig::get(std::string_view keyword) const {
  const auto found = values_.find(keyword);
  if (found == values_.end() || found->second.empty()) return {};
  return found->second.front();
}

}  // namespace gangway::detail
