#include "tests/support/sshd.hpp"

#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/poll.hpp"

namespace gangway::test {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view listening = "Server listening on 127.0.0.1";

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  try {
    return {std::istreambuf_iterator<char>(file), {}};
  } catch (const std::ios_base::failure&) {  // a file of /proc whose process has just gone
    return {};
  }
}

pid_t parent_of(const std::string& pid) {
  const std::string stat = content("/proc/" + pid + "/stat");
  const std::size_t at = stat.rfind(')');
  return at == stat.npos || at + 4 >= stat.size() ? -1 : static_cast<pid_t>(std::atoi(stat.c_str() + at + 4));
}

// The children of `pid` that are sshd, and theirs. What a session runs is none.
void add_children(pid_t pid, std::vector<pid_t>& all) {
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator("/proc", problem)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos || parent_of(name) != pid) continue;
    if (content("/proc/" + name + "/comm") != "sshd\n") continue;
    all.push_back(static_cast<pid_t>(std::atoi(name.c_str())));
    add_children(all.back(), all);
  }
}

}  // namespace

std::string Sshd::support(std::string_view name) { return GANGWAY_TEST_SOURCE "/tests/support/" + std::string(name); }

std::string Sshd::missing() {
  for (const char* const path : {"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd", "/usr/bin/sshd"})
    if (::access(path, X_OK) == 0) return {};
  return "there is no sshd on this machine (Debian: openssh-server)";
}

std::string Sshd::missing_passwords() {
  if (std::string why = missing(); !why.empty()) return why;
  if (::geteuid() != 0) return "an sshd with users of its own needs root";
  if (std::system("unshare -m true 2>/dev/null") != 0) return "no mount namespaces here";
  return {};
}

Sshd::Sshd(Options options) : options_(std::move(options)) { start(); }

Sshd::~Sshd() { kill(); }

void Sshd::start() {
  const auto logged_before = logged(listening);
  detail::SpawnRequest request;
  request.argv = {GANGWAY_TEST_PYTHON, "-B", support("private_sshd.py"), directory_.path()};
  for (const std::string& line : options_.config) request.argv.insert(request.argv.end(), {"--config", line});
  if (!options_.login_shell.empty()) request.argv.insert(request.argv.end(), {"--shell", options_.login_shell});
  if (!options_.home.empty()) request.argv.insert(request.argv.end(), {"--home", options_.home});
  if (options_.passwords) request.argv.emplace_back("--passwords");
  if (options_.read_only_home) request.argv.emplace_back("--read-only-home");
  request.extra_env = {{"GANGWAY_COOKIE", ""}};  // not one of the test's agents
  process_ = detail::ChildProcess::start(request);
  const bool ready = eventually([&] { return logged(listening) > logged_before || process_.has_ended(); }, patience) &&
                     !process_.has_ended();
  if (ready) return;
  kill();
  throw std::runtime_error("the private sshd did not start: " + log());
}

int Sshd::port() const { return std::atoi(content(file("port")).c_str()); }

std::string Sshd::user() {
  const passwd* const entry = ::getpwuid(::getuid());
  return entry == nullptr ? std::to_string(::getuid()) : entry->pw_name;
}

std::string Sshd::spec(std::string_view more) const {
  std::string text = "ssh=private//ssh_config=" + file("ssh_config");
  if (!more.empty()) text += "//" + std::string(more);
  return text;
}

std::string Sshd::password() const { return content(file("password")); }

std::string Sshd::log() const { return content(file("log")); }

int Sshd::logged(std::string_view text) const {
  std::istringstream lines(log());
  int count = 0;
  for (std::string line; std::getline(lines, line);)
    if (line.find(text) != line.npos) ++count;
  return count;
}

std::vector<pid_t> Sshd::connections() const {
  std::vector<pid_t> all;
  add_children(process_.pid(), all);
  return all;
}

void Sshd::kill() {
  if (!process_) return;
  process_.signal(SIGSTOP);  // no new one while we count
  for (const pid_t pid : connections()) ::kill(pid, SIGKILL);
  process_.signal(SIGKILL);
  (void)process_.wait_for(patience);
}

void Sshd::restart(std::vector<std::string> config) {
  kill();
  options_.config = std::move(config);
  start();
}

void Sshd::change_host_key() {
  kill();
  const std::string known = content(file("known_hosts"));
  fs::remove(file("host_key"));
  fs::remove(file("host_key.pub"));
  start();
  directory_.write("known_hosts", known);
}

}  // namespace gangway::test
