// A real sshd of the test's own on loopback: own keys, own log, no settings of this machine.
//
//   if (auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
//   Sshd sshd({.config = {"MaxSessions 2"}});
//   group.makegateway(sshd.spec("python=python3"));
//
// Used by one thread. private_sshd.py, which the Python tests use too, says what is in its directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "core/process.hpp"
#include "tests/support/agents.hpp"

namespace gangway::test {

class Sshd {
 public:
  struct Options {
    std::vector<std::string> config = {};  // lines of sshd_config, which go before its own
    std::string login_shell = {};          // a path; "": the user's
    std::string home = {};                 // where that starts and finds its rc files
    bool passwords = false;                // see private_sshd.py; needs missing_passwords() to be ""
    bool read_only_home = false;           // with passwords
  };

  /// The path of a script beside this file.
  [[nodiscard]] static std::string support(std::string_view name);
  /// Why there can be none on this machine; "": there can.
  [[nodiscard]] static std::string missing();
  /// The same for one with `passwords`.
  [[nodiscard]] static std::string missing_passwords();

  /// Listens when this returns. Throws std::runtime_error with its log.
  explicit Sshd(Options options);
  Sshd() : Sshd(Options()) {}
  /// Ends it, and what still belongs to its connections.
  ~Sshd();
  Sshd(const Sshd&) = delete;
  Sshd& operator=(const Sshd&) = delete;

  [[nodiscard]] int port() const;
  [[nodiscard]] static std::string user();
  /// What `name` is in its directory: "user_key", "known_hosts", "ssh_config", "log", ...
  [[nodiscard]] std::string file(std::string_view name) const { return directory_ / name; }
  /// "ssh=private//ssh_config=.../ssh_config", and `more` behind it.
  [[nodiscard]] std::string spec(std::string_view more = {}) const;

  /// With `passwords`: of the user `gwtest`.
  [[nodiscard]] std::string password() const;

  [[nodiscard]] std::string log() const;
  /// Lines of the log that contain `text`.
  [[nodiscard]] int logged(std::string_view text) const;
  /// Connections that were authenticated.
  [[nodiscard]] int logins() const { return logged("Accepted publickey for "); }
  /// Commands that it was asked to run.
  [[nodiscard]] int sessions() const { return logged("Starting session: "); }

  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }
  /// Its processes, one or two per connection; the listener is not among them. Of a listener
  /// that was killed nobody knows.
  [[nodiscard]] std::vector<pid_t> connections() const;
  /// SIGKILL to all of it, as a crash of the machine would do.
  void kill();
  /// Again on the same port, with the same keys.
  void restart(std::vector<std::string> config);
  void restart() { restart(options_.config); }
  /// After this the host is another one: known_hosts stays as it was.
  void change_host_key();

 private:
  void start();

  TemporaryDirectory directory_;
  Options options_;
  detail::ChildProcess process_;
};

}  // namespace gangway::test
