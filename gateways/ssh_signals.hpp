// The names by which ssh knows signals (RFC 4254, section 6.10).
#pragma once

#include <csignal>
#include <string_view>

namespace gangway::detail {

/// 0 for a name that no signal has here.
[[nodiscard]] inline int signal_named(std::string_view name) noexcept {
  constexpr struct {
    std::string_view name;
    int number;
  } signals[] = {{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},
                 {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
                 {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"BUS", SIGBUS},   {"TRAP", SIGTRAP},
                 {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}, {"SYS", SIGSYS}};
  // OpenSSH writes "SEGV@openssh.com" for those that the RFC does not have.
  name = name.substr(0, name.find('@'));
  for (const auto& signal : signals)
    if (signal.name == name) return signal.number;
  return 0;
}

}  // namespace gangway::detail
