#include <gangway/death_record.hpp>

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <string_view>

#include "core/escape.hpp"

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

/// The last line with which the interpreter, or its faulthandler, said why it crashed.
std::string_view fatal_error(std::string_view text) {
  constexpr std::string_view begin = "Fatal Python error: ";
  constexpr std::size_t longest = 200;
  for (std::size_t at = text.size(); (at = text.rfind(begin, at)) != text.npos; --at) {
    if (at == 0 || text[at - 1] == '\n') return text.substr(at, std::min(text.find('\n', at) - at, longest));
    // It stands in the middle of a line that somebody printed.
  }
  return {};
}

/// What a signal that nobody can send by crashing is about.
std::string killer(const DeathRecord& record) {
  if (record.killed_here) return ", by this program";
  if (!record.out_of_memory) return ", from outside (out of memory?)";
  return *record.out_of_memory ? ", from outside (out of memory: the kernel killed somebody for it meanwhile)"
                               : ", from outside";
}

}  // namespace

std::string DeathRecord::summary() const {
  if (signal) {
    const std::string number = "signal " + std::to_string(*signal);
    const std::string name = signal_name(*signal);
    std::string text = "killed by " + (name.empty() ? number : name + " (" + number + ")");
    if (*signal == SIGKILL) return text + killer(*this);
    if (*signal == SIGTERM && killed_here) return text + ", by this program";
    if (const auto why = fatal_error(stderr_tail); !why.empty()) text += ": " + detail::escape_for_display(why);
    return text;
  }
  if (exit_status) return "exit status " + std::to_string(*exit_status);
  return {};
}

}  // namespace gangway
