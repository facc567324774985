#include "gateways/ssh_settings.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <map>
#include <utility>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/escape.hpp"
#include "gateways/ssh_config.hpp"

namespace gangway::detail {

namespace {

// Of OpenSSH's Compression, which is zlib's own default.
constexpr int openssh_level = 6;

// What a name may not contain: it may end up in a ProxyCommand, which is for a shell.
constexpr std::string_view shell_characters = "'`\"$\\;&<>|(){}!*?~#";

std::string name_problem(std::string_view what, std::string_view name) {
  const std::string quoted = escape_for_display(name);
  if (name.empty()) return "the " + std::string(what) + " is empty";
  if (name.front() == '-') return "the " + std::string(what) + " '" + quoted + "' begins with '-'";
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= ' ' || c == 127 || shell_characters.find(c) != shell_characters.npos)
      return "the " + std::string(what) + " '" + quoted + "' contains a character that no name can have";
  return {};
}

std::optional<int> port_of(std::string_view text) {
  int port = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (problem != std::errc() || end != text.data() + text.size() || port < 1 || port > 65'535) return {};
  return port;
}

bool is_one_of(const std::string& word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// What is known before a configuration file is read.
struct CommandLine {
  std::string host;
  std::optional<std::string> user;
  std::optional<std::string> config_file;
  std::optional<int> compress;     // level, 0 for none: whatever the configuration says
  std::vector<std::string> lines;  // of a configuration file: "Port 22"
};

// "[user@]host[:port]" as in ProxyJump.
CommandLine jump_command_line(std::string_view hop, const std::optional<std::string>& config_file) {
  CommandLine line;
  line.config_file = config_file;
  if (const std::size_t at = hop.rfind('@'); at != hop.npos) {
    line.user = std::string(hop.substr(0, at));
    hop.remove_prefix(at + 1);
  }
  const bool bracketed = hop.starts_with('[') && hop.find(']') != hop.npos;
  const std::size_t end = bracketed ? hop.find(']') : std::string_view::npos;
  const std::size_t colon = hop.find(':', bracketed ? end : 0);
  if (colon != hop.npos && (bracketed || hop.find(':', colon + 1) == hop.npos)) {
    line.lines.push_back("Port " + std::string(hop.substr(colon + 1)));
    hop = hop.substr(0, colon);
  }
  line.host = bracketed ? hop.substr(1, end - 1) : hop;
  return line;
}

std::string local_host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

// What the %-tokens of ssh_config(5), "TOKENS", stand for.
std::optional<std::string> token(char name, const SshSettings& settings) {
  switch (name) {
    case 'd': return LocalUser::now().home;
    case 'h': return settings.host;
    case 'i': return std::to_string(::getuid());
    case 'k': return settings.host_key_name.empty() ? settings.host : settings.host_key_name;
    case 'L': {
      const std::string host = local_host_name();
      return host.substr(0, host.find('.'));
    }
    case 'l': return local_host_name();
    case 'n': return settings.name;
    case 'p': return std::to_string(settings.port);
    case 'r': return settings.user;
    case 'u': return LocalUser::now().name;
    default: return {};
  }
}

std::string expand(const std::string& text, const SshSettings& settings, Variables variables) {
  return expand_tokens(text, variables, [&](char name) { return token(name, settings); });
}

std::vector<std::string> expanded_paths(const std::vector<std::string>& paths, const SshSettings& settings) {
  const LocalUser local = LocalUser::now();
  std::vector<std::string> result;
  for (const std::string& path : paths)
    if (path != "none") result.push_back(expand_home(expand(path, settings, Variables::expanded), local));
  return result;
}

bool yes(const SshConfig& config, std::string_view keyword, bool otherwise) {
  const auto value = config.get(keyword);
  if (!value) return otherwise;
  if (is_one_of(*value, {"yes", "true"})) return true;
  if (is_one_of(*value, {"no", "false"})) return false;
  throw_error(errc::bad_spec,
              "ssh configuration: " + std::string(keyword) + " is neither yes nor no: " + escape_for_display(*value));
}

[[noreturn]] void bad_value(std::string_view keyword, std::string_view value) {
  throw_error(errc::bad_spec, "ssh configuration: " + std::string(keyword) + " cannot be " + escape_for_display(value));
}

std::string list_of(const SshConfig& config, std::string_view keyword) {
  return config.get(keyword).value_or(std::string());
}

void read_agent(const SshConfig& config, SshSettings& settings) {
  const char* const inherited = std::getenv("SSH_AUTH_SOCK");
  const std::string usual = inherited != nullptr ? inherited : "";
  const std::string chosen = config.get("identityagent").value_or("SSH_AUTH_SOCK");
  if (chosen == "none")
    settings.agent_socket.clear();
  else if (chosen == "SSH_AUTH_SOCK")
    settings.agent_socket = usual;
  else if (chosen.starts_with('$')) {
    const char* const value = std::getenv(chosen.c_str() + 1);
    settings.agent_socket = value != nullptr ? value : "";
  } else {
    settings.agent_socket = expanded_paths({chosen}, settings).front();
  }
}

void read_identities(const SshConfig& config, SshSettings& settings) {
  auto files = config.all("identityfile");
  settings.identities_given = !files.empty();
  if (files.empty()) files = {"~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"};
  settings.identity_files = expanded_paths(files, settings);
  settings.certificate_files = expanded_paths(config.all("certificatefile"), settings);
  settings.identities_only = yes(config, "identitiesonly", false);
  read_agent(config, settings);

  settings.publickey = yes(config, "pubkeyauthentication", true);
  settings.keyboard_interactive =
      yes(config, "kbdinteractiveauthentication", yes(config, "challengeresponseauthentication", true));
  settings.password = yes(config, "passwordauthentication", true);
  if (const auto preferred = config.get("preferredauthentications")) {
    const std::string list = "," + *preferred + ",";
    const auto asked = [&](const char* method) { return list.find("," + std::string(method) + ",") != list.npos; };
    settings.publickey = settings.publickey && asked("publickey");
    settings.keyboard_interactive = settings.keyboard_interactive && asked("keyboard-interactive");
    settings.password = settings.password && asked("password");
  }
  settings.batch_mode = yes(config, "batchmode", false);
  if (const auto prompts = config.get("numberofpasswordprompts"))
    settings.password_prompts = port_of(*prompts) ? *port_of(*prompts) : 3;
}

void read_host_keys(const SshConfig& config, SshSettings& settings) {
  const std::string strict = config.get("stricthostkeychecking").value_or("ask");
  if (strict == "accept-new")
    settings.strict_host_keys = StrictHostKeys::accept_new;
  else if (is_one_of(strict, {"no", "off", "false"}))
    settings.strict_host_keys = StrictHostKeys::no;
  else if (!is_one_of(strict, {"yes", "ask", "true"}))
    bad_value("stricthostkeychecking", strict);
  settings.host_key_name = config.get("hostkeyalias").value_or("");
  auto files = config.all("userknownhostsfile");
  if (files.empty()) files = {"~/.ssh/known_hosts", "~/.ssh/known_hosts2"};
  settings.user_known_hosts = expanded_paths(files, settings);
  settings.hash_known_hosts = yes(config, "hashknownhosts", false);
  files = config.all("globalknownhostsfile");
  if (files.empty()) files = {"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"};
  settings.global_known_hosts = expanded_paths(files, settings);
}

void read_algorithms(const SshConfig& config, SshSettings& settings) {
  settings.ciphers = list_of(config, "ciphers");
  settings.macs = list_of(config, "macs");
  settings.kex_algorithms = list_of(config, "kexalgorithms");
  settings.host_key_algorithms = list_of(config, "hostkeyalgorithms");
  settings.pubkey_algorithms = list_of(config, "pubkeyacceptedalgorithms");
  if (settings.pubkey_algorithms.empty()) settings.pubkey_algorithms = list_of(config, "pubkeyacceptedkeytypes");
}

SshSettings resolve(const CommandLine& line, std::chrono::milliseconds keepalive, int depth);

void read_proxy(const SshConfig& config, const CommandLine& line, SshSettings& settings, int depth) {
  const auto jump = config.get("proxyjump");
  if (jump && *jump != "none") {
    if (depth >= limits::ssh_jumps) throw_error(errc::bad_spec, "too many ProxyJumps, or one that leads to itself");
    const std::size_t comma = jump->rfind(',');
    CommandLine hop =
        jump_command_line(std::string_view(*jump).substr(comma == jump->npos ? 0 : comma + 1), line.config_file);
    if (comma != jump->npos) hop.lines.push_back("ProxyJump " + jump->substr(0, comma));
    settings.jumps = {resolve(hop, settings.keepalive, depth + 1)};
    return;
  }
  const auto command = config.get("proxycommand");
  if (command && *command != "none") settings.proxy_command = expand(*command, settings, Variables::kept);
}

SshSettings resolve(const CommandLine& line, std::chrono::milliseconds keepalive, int depth) {
  SshConfig config(line.host, line.user);
  for (const std::string& text : line.lines) config.set_line(text, "ssh=");
  if (line.user) config.set("user", {*line.user});
  if (!line.config_file)
    config.read_default_files();
  else if (*line.config_file != "none")
    config.read_file(*line.config_file);

  SshSettings settings;
  settings.name = line.host;
  settings.keepalive = keepalive;
  settings.host = config.host_name();
  if (const auto port = config.get("port")) {
    if (!port_of(*port)) bad_value("port", *port);
    settings.port = *port_of(*port);
  }
  settings.user = config.get("user").value_or(LocalUser::now().name);
  for (const std::string& problem : {name_problem("host name", settings.name), name_problem("host name", settings.host),
                                     name_problem("user name", settings.user)})
    if (!problem.empty()) throw_error(errc::bad_spec, problem);

  const std::string family = config.get("addressfamily").value_or("any");
  if (!is_one_of(family, {"any", "inet", "inet6"})) bad_value("addressfamily", family);
  settings.family = family == "inet" ? AF_INET : family == "inet6" ? AF_INET6 : AF_UNSPEC;
  settings.bind_address = config.get("bindaddress").value_or("");
  if (const auto timeout = config.get("connecttimeout"); timeout && *timeout != "none") {
    if (!port_of(*timeout)) bad_value("connecttimeout", *timeout);
    settings.connect_timeout = std::chrono::seconds(*port_of(*timeout));
  }
  read_host_keys(config, settings);
  read_identities(config, settings);
  read_algorithms(config, settings);
  settings.compression = line.compress.value_or(yes(config, "compression", false) ? openssh_level : 0);
  read_proxy(config, line, settings, depth);
  return settings;
}

// What is said to ssh(1) without an argument, and what it means here.
constexpr std::string_view flags = "46CTaknqxv";
constexpr std::string_view with_argument = "plioFJ";

// One word of a configuration line.
std::string quoted(const std::string& word) {
  std::string text = "\"";
  for (const char c : word) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

CommandLine command_line(const XSpec& spec) {
  CommandLine line;
  line.compress = spec.compress();
  const auto words = spec.command("ssh");
  const auto take = [&](char option, std::string value) {
    switch (option) {
      case 'p': line.lines.push_back("Port " + quoted(value)); break;
      case 'l':
        line.lines.push_back("User " + quoted(value));
        if (!line.user) line.user = value;
        break;
      case 'i': line.lines.push_back("IdentityFile " + quoted(value)); break;
      case 'J': line.lines.push_back("ProxyJump " + quoted(value)); break;
      case 'F': line.config_file = value; break;
      case 'o': line.lines.push_back(value); break;
      case '4': line.lines.push_back("AddressFamily inet"); break;
      case '6': line.lines.push_back("AddressFamily inet6"); break;
      case 'C':
        if (line.compress == 0) spec.reject("compress", "it is off, but ssh= has the option -C");
        line.lines.push_back("Compression yes");
        break;
      default: break;  // no terminal, no forwarding, no input from here: that is how it is anyway
    }
  };
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word.size() < 2 || word.front() != '-') {
      if (!line.host.empty())
        spec.reject("ssh", "'" + word + "' stands behind the host: the command to run there is python=");
      line.host = word;
      continue;
    }
    for (std::size_t letter = 1; letter < word.size(); ++letter) {
      const char option = word[letter];
      if (flags.find(option) != flags.npos) {
        take(option, {});
      } else if (with_argument.find(option) != with_argument.npos) {
        std::string value = word.substr(letter + 1);
        if (value.empty() && ++at < words.size()) value = words[at];
        if (value.empty()) spec.reject("ssh", std::string("-") + option + " needs an argument");
        take(option, std::move(value));
        break;
      } else {
        spec.reject("ssh", std::string("no option -") + option +
                               " here (-p -l -i -F -J -C -4 -6 -o); ssh_client=openssh has them all");
      }
    }
  }
  if (line.host.empty()) spec.reject("ssh", "no host");
  if (const std::size_t at = line.host.rfind('@'); at != line.host.npos) {
    if (!line.user) line.user = line.host.substr(0, at);
    line.host.erase(0, at + 1);
  }
  if (const auto file = spec.ssh_config(); file && !line.config_file) line.config_file = file;
  for (const std::string& problem :
       {name_problem("host name", line.host), name_problem("user name", line.user.value_or("nobody"))})
    if (!problem.empty()) spec.reject("ssh", problem);
  return line;
}

}  // namespace

std::string SshSettings::destination() const {
  return user + "@" + host + (port == 22 ? "" : ":" + std::to_string(port));
}

std::string SshSettings::known_hosts_name() const {
  std::string key = host_key_name.empty() ? host : host_key_name;
  for (char& c : key)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return port == 22 || !host_key_name.empty() ? key : "[" + key + "]:" + std::to_string(port);
}

SshSettings ssh_settings(const XSpec& spec) { return resolve(command_line(spec), spec.keepalive(), 0); }

}  // namespace gangway::detail
