#include "gateways/client_failure.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "core/escape.hpp"

namespace gangway::detail {

namespace {

// OpenSSH's own failures; every other status is the far command's.
constexpr int ssh_failed = 255;

struct Sign {
  std::string_view text;  // in a line of stderr
  errc code;
  std::string_view advice;
  bool again = false;  // another attempt may do better
};

// In the order of what says most: a changed key is followed by "Host key verification failed".
constexpr std::array ssh_signs{
    Sign{"REMOTE HOST IDENTIFICATION HAS CHANGED", errc::host_key_changed,
         "the host key has changed. If that is expected, remove the old one with ssh-keygen -R"},
    Sign{"REVOKED HOST KEY", errc::host_key_changed, "the host key was revoked"},
    Sign{"Host key verification failed", errc::host_key_unknown,
         "the host key is not known. Log in once by hand, or add -o StrictHostKeyChecking=accept-new"},
    Sign{"Could not resolve hostname", errc::host_not_found, "host not found"},
    Sign{"Connection refused", errc::connection_refused, "connection refused"},
    Sign{"timed out", errc::connect_timeout, "no connection in time"},
    Sign{"No route to host", errc::host_unreachable, "no route to the host"},
    Sign{"Network is unreachable", errc::host_unreachable, "the network is unreachable"},
    Sign{"Too many authentication failures", errc::auth_failed,
         "too many keys were tried: -o IdentitiesOnly=yes, and -i"},
    Sign{"Permission denied (", errc::auth_failed, "the login failed"},
    Sign{"Session open refused by peer", errc::server_limit, "the server allows no more sessions (MaxSessions)"},
    Sign{"channel 0: open failed", errc::server_limit, "the server allows no more sessions (MaxSessions)"},
    Sign{"Exceeded MaxStartups", errc::server_limit, "the server allows no more logins at a time (MaxStartups)", true},
    Sign{"kex_exchange_identification", errc::host_unreachable,
         "the server hung up before the login (MaxStartups is one reason)", true},
    Sign{"Connection closed by", errc::host_unreachable, "the server hung up before the login"},
};

constexpr std::array sudo_signs{
    Sign{"a password is required", errc::auth_failed,
         "sudo asks for a password, which cannot be given here (NOPASSWD)"},
    Sign{"is not in the sudoers file", errc::auth_failed, "sudo does not permit it"},
    Sign{"is not allowed to", errc::auth_failed, "sudo does not permit it"},
    Sign{"unknown user", errc::host_not_found, "no such user"},
};
constexpr std::array su_signs{
    Sign{"Authentication failure", errc::auth_failed, "su asks for a password, which cannot be given here"},
    Sign{"does not exist", errc::host_not_found, "no such user"},
};
constexpr std::array doas_signs{
    Sign{"doas: Authentication required", errc::auth_failed,
         "doas asks for a password, which cannot be given here (nopass)"},
    Sign{"doas: Authorization required", errc::auth_failed,
         "doas asks for a password, which cannot be given here (nopass)"},
    Sign{"doas: Operation not permitted", errc::auth_failed, "doas does not permit it"},
    Sign{"doas is not enabled", errc::auth_failed, "doas has no configuration here"},
    Sign{"doas: unknown user", errc::host_not_found, "no such user"},
};
constexpr std::array namespace_signs{
    Sign{": failed to execute ", errc::python_not_found, "no such interpreter in there"},
    Sign{"nsenter: reassociate to ", errc::auth_failed, "this needs more privileges"},
    Sign{"unshare: unshare failed", errc::auth_failed, "this needs more privileges"},
    Sign{"nsenter: stat of /proc/", errc::host_not_found, "no such process, or one that is closed to this user"},
    Sign{"nsenter: cannot open /proc/", errc::host_not_found, "no such process, or one that is closed to this user"},
};
constexpr std::array container_signs{
    Sign{"No such container", errc::host_not_found, "no such container"},
    Sign{"no such container", errc::host_not_found, "no such container"},
    Sign{"is not running", errc::host_not_found, "the container is not running"},
    Sign{"no container with name or ID", errc::host_not_found, "no such container"},
    Sign{"(NotFound)", errc::host_not_found, "no such pod"},
    Sign{"executable file not found", errc::python_not_found, "no such interpreter in there"},
};
constexpr std::array slurm_signs{
    Sign{"Invalid partition name", errc::host_not_found, "no such partition"},
    Sign{"Unable to contact slurm controller", errc::host_unreachable, "Slurm's controller does not answer"},
    Sign{"Unable to allocate resources", errc::server_limit, "Slurm gives no allocation"},
    Sign{"Unable to create step", errc::server_limit, "Slurm has no room for another step"},
    Sign{"execve()", errc::python_not_found, "no such interpreter on the node"},
};

std::string_view line_with(std::string_view text, std::string_view part) {
  const std::size_t at = text.find(part);
  if (at == text.npos) return {};
  const std::size_t begin = text.rfind('\n', at) + 1;  // npos + 1 is 0
  return text.substr(begin, text.find_first_of("\r\n", at) - begin);
}

template <std::size_t N>
std::optional<ConnectionEnd> by_sign(const XSpec& spec, const std::array<Sign, N>& signs, const DeathRecord& death) {
  const std::string_view kind = to_string(spec.kind());
  for (const Sign& sign : signs) {
    const std::string_view line = line_with(death.stderr_tail, sign.text);
    if (line.empty()) continue;
    return ConnectionEnd{sign.code,
                         std::string(kind) + "=" + spec.get(kind).value_or("") + ": " + std::string(sign.advice) +
                             " (" + escape_for_display(line) + ")",
                         death};
  }
  return {};
}

std::optional<ConnectionEnd> ssh_failure(const XSpec& spec, const DeathRecord& death) {
  if (death.exit_status != ssh_failed) return {};
  if (auto known = by_sign(spec, ssh_signs, death)) return known;
  const std::string_view kind = to_string(spec.kind());
  return ConnectionEnd{errc::host_unreachable,
                       std::string(kind) + "=" + spec.get(kind).value_or("") + ": ssh failed (exit status 255)", death};
}

}  // namespace

bool hung_up_before_login(const DeathRecord& death) {
  if (death.exit_status != ssh_failed || !line_with(death.stderr_tail, "UNKNOWN port").empty()) return false;
  const auto sign = std::find_if(ssh_signs.begin(), ssh_signs.end(),
                                 [&](const Sign& each) { return !line_with(death.stderr_tail, each.text).empty(); });
  return sign != ssh_signs.end() && sign->again;
}

std::optional<ConnectionEnd> client_failure(const XSpec& spec, const DeathRecord& death) {
  if (!death.exit_status || death.exit_status == 0) return {};
  switch (spec.kind()) {
    case TransportKind::ssh:
    case TransportKind::vagrant_ssh: return ssh_failure(spec, death);
    case TransportKind::sudo: return by_sign(spec, sudo_signs, death);
    case TransportKind::su: return by_sign(spec, su_signs, death);
    case TransportKind::doas: return by_sign(spec, doas_signs, death);
    case TransportKind::nsenter:
    case TransportKind::unshare: return by_sign(spec, namespace_signs, death);
    case TransportKind::docker:
    case TransportKind::podman:
    case TransportKind::kubectl: return by_sign(spec, container_signs, death);
    case TransportKind::slurm: return by_sign(spec, slurm_signs, death);
    case TransportKind::command:  // `command=sudo ...`: sudo's words are not to be mistaken for anything else's
      if (death.stderr_tail.find("sudo: ") != std::string::npos) return by_sign(spec, sudo_signs, death);
      return {};
    case TransportKind::popen:
    case TransportKind::socket:
    case TransportKind::unix_socket: break;
  }
  return {};
}

}  // namespace gangway::detail
