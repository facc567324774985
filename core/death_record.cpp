#include <gangway/death_record.hpp>

#include <signal.h>
#include <string.h>

namespace gangway {

namespace {

/// "SIGSEGV"; "SIGRTMIN+3" for real-time signals; "" for a number that is no signal.
std::string signal_name(int number) {
  // Not strsignal: its texts follow the locale, and are sentences.
  if (const char* name = ::sigabbrev_np(number)) return std::string("SIG") + name;
  if (number < SIGRTMIN || number > SIGRTMAX) return {};
  if (number == SIGRTMIN) return "SIGRTMIN";
  return "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
}

}  // namespace

std::string DeathRecord::summary() const {
  if (signal) {
    const std::string number = "signal " + std::to_string(*signal);
    const std::string name = signal_name(*signal);
    return "killed by " + (name.empty() ? number : name + " (" + number + ")");
  }
  if (exit_status) return "exit status " + std::to_string(*exit_status);
  return {};
}

}  // namespace gangway
