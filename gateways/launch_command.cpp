#include "gateways/launch_command.hpp"

#include <algorithm>
#include <array>

#include "gateways/remote_command.hpp"

namespace gangway::detail {

namespace {

using Words = std::vector<std::string>;

void append(Words& to, std::span<const std::string> words) { to.insert(to.end(), words.begin(), words.end()); }

std::string cookie_variable(const LaunchSettings& settings) { return "GANGWAY_COOKIE=" + settings.cookie; }

// `env` is in POSIX; the interpreter behind it is looked up in the far side's PATH.
void append_agent(Words& to, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  append(to, {{"env", cookie_variable(settings)}});
  append(to, bootstrap.argv());
}

// The key's value in words; none for the key alone.
Words words_of(const XSpec& spec) {
  const std::string_view key = to_string(spec.kind());
  return spec.is_true(key) ? Words() : spec.command(key);
}

// A name that stands where options might.
std::string name_of(const XSpec& spec) {
  const std::string_view key = to_string(spec.kind());
  std::string name = spec.argument(key).value_or("");
  if (name.starts_with('-')) spec.reject(key, "a name cannot begin with a dash");
  return name;
}

Words command(const XSpec& spec, const Bootstrap& bootstrap) {
  Words argv = spec.command("command");
  append(argv, spec.python_command());
  append(argv, bootstrap.arguments());
  return argv;
}

// [options] CONTAINER
Words container(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  Words argv{std::string(to_string(spec.kind())), "exec", "-i", "-e", cookie_variable(settings)};
  append(argv, spec.command(to_string(spec.kind())));
  append(argv, bootstrap.argv());
  return argv;
}

// [options] POD
Words kubectl(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  Words argv{"kubectl", "exec", "-i"};
  append(argv, spec.command("kubectl"));
  argv.emplace_back("--");
  append_agent(argv, bootstrap, settings);
  return argv;
}

// Nothing, USER, or options, of sudo and doas. Our -n comes first: they never ask.
Words as_user(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  Words argv{std::string(to_string(spec.kind())), "-n"};
  Words words = words_of(spec);
  if (words.size() == 1 && !words.front().starts_with('-')) words.insert(words.begin(), "-u");
  append(argv, words);
  argv.emplace_back("--");
  append_agent(argv, bootstrap, settings);
  return argv;
}

// The shell is named for users whose own is nologin.
Words su(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  if (!settings.is_root)
    spec.reject("su",
                "su asks everybody but root for a password, which cannot be given here (sudo= may be what is meant)");
  const std::string user = spec.is_true("su") ? "root" : name_of(spec);
  const auto& argv = bootstrap.argv();
  return {"su", "-s", "/bin/sh", "-c", remote_command({argv, {}, settings.cookie}), "--", user};
}

// They leave the environment alone, and with it the cookie.
Words in_namespaces(const XSpec& spec, Words argv, const Words& options, const Bootstrap& bootstrap) {
  if (!options.front().starts_with('-'))
    spec.reject(to_string(spec.kind()),
                "'" + options.front() + "' is no option of " + argv.front() + ": what is run there is python=");
  append(argv, options);
  argv.emplace_back("--");
  append(argv, bootstrap.argv());
  return argv;
}

// PID, for all of its namespaces, or options.
Words nsenter(const XSpec& spec, const Bootstrap& bootstrap) {
  Words words = spec.command("nsenter");
  if (words.size() == 1 && words.front().find_first_not_of("0123456789") == std::string::npos)
    words = {"-a", "-t", words.front()};
  return in_namespaces(spec, {"nsenter"}, words, bootstrap);
}

Words unshare(const XSpec& spec, const Bootstrap& bootstrap) {
  return in_namespaces(spec, {"unshare"}, spec.command("unshare"), bootstrap);
}

// --- ssh

constexpr std::string_view options_with_value = "BbcDEeFIiJLlmOopQRSWw";
// They ask for something else than a command with its own input and output.
constexpr std::string_view options_refused = "fGMNnOQsTtVW";
// As OpenSSH 9.6 refuses in host and user names: a ProxyCommand might get them into a shell.
constexpr std::string_view not_in_names = "'`\"$\\;&<>|(){} \t\r\n";

struct SshWords {
  Words options;
  std::string destination;
};

// As ssh reads them: options may also stand behind the destination.
SshWords ssh_words(const XSpec& spec) {
  SshWords result;
  const Words words = spec.command("ssh");
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word.front() != '-') {
      if (!result.destination.empty()) spec.reject("ssh", "more than one host: " + result.destination + ", " + word);
      if (word.empty() || word == "-" || word.find_first_of(not_in_names) != word.npos ||
          word.find("@-") != word.npos ||
          std::any_of(word.begin(), word.end(), [](unsigned char c) { return c < ' '; }))
        spec.reject("ssh", "no host has such a name: " + word);
      result.destination = word;
      continue;
    }
    if (word == "--") continue;
    result.options.push_back(word);
    // Letters together, up to the first that has a value: -4Cp22
    std::size_t at = 1;
    while (at < word.size() && options_with_value.find(word[at]) == options_with_value.npos) ++at;
    for (std::size_t letter = 1; letter < std::min(at + 1, word.size()); ++letter) {
      if (options_refused.find(word[letter]) != options_refused.npos)
        spec.reject("ssh", std::string("the option -") + word[letter] + " makes no sense here");
      if (word[letter] == 'C' && spec.compress() == 0) spec.reject("compress", "it is off, but ssh= has the option -C");
    }
    if (at == word.size() - 1) {  // its value is the next word
      if (++i == words.size()) spec.reject("ssh", "the option " + word + " needs a value");
      result.options.push_back(words[i]);
    }
  }
  if (result.destination.empty()) spec.reject("ssh", "no host");
  return result;
}

std::string far_line(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  const auto arguments = bootstrap.arguments();
  return remote_command(
      {spec.python_command(), {arguments.begin(), arguments.end()}, settings.cookie, settings.found_before});
}

// Ours go behind the user's own words, because the first of two options counts; compress= for that
// reason before them.
Words ssh(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  const SshWords words = ssh_words(spec);
  Words argv{"ssh"};
  if (const auto config = spec.ssh_config()) append(argv, {{"-F", *config}});
  const auto option = [&](const std::string& text) { append(argv, {{"-o", text}}); };
  if (const auto level = spec.compress()) option(*level > 0 ? "Compression=yes" : "Compression=no");
  append(argv, words.options);
  if (!settings.askpass) option("BatchMode=yes");
  option("RequestTTY=no");
  option("EscapeChar=none");
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(spec.connect_timeout()).count();
  option("ConnectTimeout=" + std::to_string(std::max<std::int64_t>(1, seconds / 2)));
  if (const auto alive = std::chrono::duration_cast<std::chrono::seconds>(spec.keepalive()).count(); alive > 0) {
    option("ServerAliveInterval=" + std::to_string(alive));
    option("ServerAliveCountMax=" + std::to_string(limits::unresponsive_after / limits::ping_interval));
  }
  if (!settings.control_path.empty()) {
    option("ControlMaster=auto");
    option("ControlPath=" + settings.control_path);
    option("ControlPersist=" + std::to_string(limits::ssh_master_idle.count()));
  }
  append(argv, {{"--", words.destination, far_line(spec, bootstrap, settings)}});
  return argv;
}

Words vagrant_ssh(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  return {"vagrant", "ssh", name_of(spec), "--", "-C", far_line(spec, bootstrap, settings)};
}

// --- slurm

// What would put other bytes into the stream, or more than one agent at its end.
void check_srun(const XSpec& spec, const Words& words) {
  constexpr std::array refused{"--label", "--pty", "--output", "--input", "--multi-prog", "--wait-all-nodes"};
  const auto tasks = [&](std::string_view number) {
    if (number != "1")
      spec.reject("slurm", "one gateway is one task, not " + std::string(number) +
                               ": a group with so many gateways in one allocation has as many tasks");
  };
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    for (const std::string_view option : refused)
      if (word == option || word.starts_with(std::string(option) + "="))
        spec.reject("slurm", std::string(option) + " would disturb the stream of the gateway");
    if (word == "-l") spec.reject("slurm", "-l would disturb the stream of the gateway");
    for (const std::string_view option : {"--ntasks", "--ntasks-per-node", "--nodes", "-n", "-N"}) {
      if (word == option) {
        tasks(i + 1 < words.size() ? words[i + 1] : "");
      } else if (word.starts_with(std::string(option) + "=")) {
        tasks(std::string_view(word).substr(option.size() + 1));
      } else if (option.size() == 2 && word.starts_with(option)) {
        tasks(std::string_view(word).substr(2));
      }
    }
  }
}

Words slurm(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  const Words words = words_of(spec);
  check_srun(spec, words);
  Words argv{"srun", "--unbuffered", "--ntasks=1"};
  append(argv, words);
  append_agent(argv, bootstrap, settings);
  return argv;
}

}  // namespace

std::vector<std::string> launch_command(const XSpec& spec, const Bootstrap& bootstrap, const LaunchSettings& settings) {
  switch (spec.kind()) {
    case TransportKind::popen: return bootstrap.argv();
    case TransportKind::ssh: return ssh(spec, bootstrap, settings);
    case TransportKind::vagrant_ssh: return vagrant_ssh(spec, bootstrap, settings);
    case TransportKind::command: return command(spec, bootstrap);
    case TransportKind::docker:
    case TransportKind::podman: return container(spec, bootstrap, settings);
    case TransportKind::kubectl: return kubectl(spec, bootstrap, settings);
    case TransportKind::sudo:
    case TransportKind::doas: return as_user(spec, bootstrap, settings);
    case TransportKind::su: return su(spec, bootstrap, settings);
    case TransportKind::nsenter: return nsenter(spec, bootstrap);
    case TransportKind::unshare: return unshare(spec, bootstrap);
    case TransportKind::slurm: return slurm(spec, bootstrap, settings);
    case TransportKind::socket:
    case TransportKind::unix_socket: break;
  }
  spec.reject(to_string(spec.kind()), "this is not started by a program");
}

}  // namespace gangway::detail
