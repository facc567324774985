// gwserver: agents for whoever connects to a socket, and may.
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <gangway/xspec.hpp>

#include "core/escape.hpp"
#include "gateways/server/server.hpp"

namespace {

using namespace gangway;

constexpr const char* usual_address = "127.0.0.1:8888";  // the port is that of execnet's server

uid_t user_named(const std::string& name) {
  uid_t number = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (problem == std::errc() && end == name.data() + name.size()) return number;
  const passwd* const user = ::getpwnam(name.c_str());
  if (user == nullptr) throw_error(errc::bad_argument, "there is no user " + detail::escape_for_display(name));
  return user->pw_uid;
}

// Neither agents nor whoever may look at this process's environment shall find it there.
void wipe_secret() {
  if (char* const value = std::getenv(detail::secret_variable)) std::memset(value, 0, std::strlen(value));
  ::unsetenv(detail::secret_variable);
}

void log(const std::string& line) {
  std::string text;
  for (const char c : detail::escape_for_display(line)) text += c == '\n' ? ' ' : c;
  std::fprintf(stderr, "gwserver: %s\n", text.c_str());
}

int serve(const std::string& secret_file, const std::vector<std::string>& users, const std::string& python, bool quiet,
          detail::ServerOptions options) {
  if (!secret_file.empty())
    options.secret = detail::Secret::from_file(secret_file);
  else if (!options.execnet_open)
    options.secret = detail::Secret::from_environment();
  wipe_secret();
  if (!python.empty()) options.python = split_command(python);
  options.users.insert(::geteuid());
  for (const std::string& name : users) options.users.insert(user_named(name));
  options.others = options.execnet_open || options.users.size() > 1;
  const bool activated = std::getenv("LISTEN_FDS") != nullptr;
  if (options.addresses.empty() && !activated) options.addresses = {usual_address};

  const bool open = options.execnet_open;
  const auto nothing = [](const std::string&) {};
  detail::Server server(std::move(options), quiet ? detail::Server::Log(nothing) : detail::Server::Log(log));
  if (open) log("OPEN: whoever can connect can execute anything as this user (--execnet-open)");
  for (const std::string& address : server.addresses()) std::printf("listening on %s\n", address.c_str());
  std::fflush(stdout);
  server.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  CLI::App app{
      "Gives each connection a Gangway agent of its own: gangway.makegateway(\"socket=host:port\") or \"unix=path\".\n"
      "Whoever connects without a secret must be this user, root, or one of --allow-user, on this machine."};
  detail::ServerOptions options;
  std::string secret_file;
  std::string python;
  std::vector<std::string> users;
  auto keepalive = std::chrono::seconds(limits::ping_interval).count();
  bool cold = false;
  bool quiet = false;
  app.set_version_flag("--version", std::string("gwserver ") + GANGWAY_VERSION);
  app.add_option(
      "ADDRESS", options.addresses,
      "host:port, [IPv6]:port, *:port, the path of a Unix socket, or @name (default: 127.0.0.1:8888, or what "
      "systemd has opened)");
  app.add_option("--secret-file", secret_file,
                 "file with the secret that clients must have; only its owner may read it. Else GANGWAY_SECRET or "
                 "GANGWAY_SECRET_FILE of the environment. Needed to listen on more than this machine");
  app.add_option("--allow-user", users, "user, by name or number, who may connect without a secret; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--max-connections", options.max_connections, "agents at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  app.add_option("--keepalive", keepalive,
                 "seconds between questions to a client that is silent; after three without an answer its agent ends; "
                 "0: never")
      ->capture_default_str()
      ->check(CLI::Range(0, 3600));
  app.add_option("--python", python,
                 "command line of the interpreter that agents run in (default: gangway-agent's own)");
  app.add_flag("--once", options.once, "serve one connection, then end");
  app.add_flag("--cold", cold, "start each agent afresh, instead of from one that has started Python already");
  app.add_flag("--quiet", quiet, "no log on stderr");
  app.add_flag("--execnet-open", options.execnet_open,
               "serve execnet's clients, too. Asks nobody for anything: WHOEVER CAN CONNECT CAN EXECUTE ANYTHING");
  CLI11_PARSE(app, argc, argv);
  options.warm = !cold;
  options.keepalive = std::chrono::seconds(keepalive);
  try {
    return serve(secret_file, users, python, quiet, std::move(options));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "gwserver: %s\n", problem.what());
    return 1;
  }
}
