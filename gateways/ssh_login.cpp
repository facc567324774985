#include "gateways/ssh_login.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <gangway/error.hpp>

#include "core/escape.hpp"
#include "core/trace.hpp"
#include "gateways/backoff.hpp"
#include "gateways/ssh_auth.hpp"
#include "gateways/ssh_known_hosts.hpp"

namespace gangway::detail {

namespace {

using std::chrono::milliseconds;

// The server was there and hung up before its greeting: worth another try.
struct NoGreeting {
  std::string text;
};

struct FreeAddresses {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses look_up(const std::string& name, const std::string& port, int family, int flags) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int problem = ::getaddrinfo(name.c_str(), port.empty() ? nullptr : port.c_str(), &hints, &found);
  if (problem != 0) {
    const std::string why = problem == EAI_SYSTEM ? last_os_error().message() : ::gai_strerror(problem);
    throw_error(errc::host_not_found, "cannot resolve the host name " + name + ": " + why);
  }
  return Addresses(found);
}

errc code_of(int problem) {
  switch (problem) {
    case ECONNREFUSED: return errc::connection_refused;
    case ETIMEDOUT: return errc::connect_timeout;
    default: return errc::host_unreachable;
  }
}

void set_option(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

// A peer that acknowledges nothing for three intervals is gone: the kernel says so (ETIMEDOUT),
// provided that something is sent, which SshLink sees to.
void watch_peer(int fd, milliseconds keepalive) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (keepalive <= milliseconds::zero()) return;
  const auto seconds = std::max<int>(1, static_cast<int>(std::chrono::ceil<std::chrono::seconds>(keepalive).count()));
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(3 * keepalive.count()));
}

void set_text(ssh_session session, enum ssh_options_e option, const std::string& value, std::string_view keyword) {
  if (!value.empty() && ssh_options_set(session, option, value.c_str()) != SSH_OK)
    throw_error(errc::bad_spec, "ssh configuration: libssh knows none of " + std::string(keyword) + " " + value +
                                    " (ssh_client=openssh may)");
}

}  // namespace

FileDescriptor SshLogin::connect() const {
  const Addresses addresses = look_up(settings.host, std::to_string(settings.port), settings.family, AI_ADDRCONFIG);
  std::ptrdiff_t left = 0;
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) ++left;
  int problem = ETIMEDOUT;
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next, --left) {
    if (control.cancelled()) break;
    FileDescriptor fd(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, each->ai_protocol));
    if (!fd || !avoid_standard_numbers(fd)) {
      problem = errno;
      continue;
    }
    if (!settings.bind_address.empty()) {
      const Addresses own = look_up(settings.bind_address, {}, each->ai_family, AI_PASSIVE);
      if (::bind(fd.get(), own->ai_addr, own->ai_addrlen) != 0) {
        problem = errno;
        continue;
      }
    }
    if (::connect(fd.get(), each->ai_addr, each->ai_addrlen) != 0 && errno != EINPROGRESS) {
      problem = errno;
      continue;
    }
    // An address that is silent leaves time for the others.
    const auto share = Clock::now() + (deadline - Clock::now()) / left;
    if (!control.wait(fd.get(), POLLOUT, share)) {
      problem = ETIMEDOUT;
      continue;
    }
    socklen_t size = sizeof problem;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &problem, &size) == 0 && problem == 0) {
      watch_peer(fd.get(), settings.keepalive);
      return fd;
    }
  }
  throw_error(code_of(problem), "no connection to " + settings.host + " port " + std::to_string(settings.port) + ": " +
                                    boost::system::error_code(problem, boost::system::system_category()).message());
}

SshSessionHandle SshLogin::handshake(FileDescriptor fd, const std::string& key_types) const {
  SshSessionHandle session(ssh_new());
  if (!session) throw std::bad_alloc();
  ssh_session const s = session.get();
  // What the server asks for (a channel to this machine, whatever) is refused. Else it would be kept until somebody
  // looks at it.
  ssh_set_message_callback(
      s, [](ssh_session, ssh_message, void*) { return 1; }, nullptr);
  const bool off = false;
  const long no_nagle = 1;
  const unsigned port = static_cast<unsigned>(settings.port);
  const int socket = fd.get();
  // Everything was read from the configuration by us: libssh is to look at no file itself.
  if (ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &off) != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_HOST, settings.host.c_str()) != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_USER, settings.user.c_str()) != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_PORT, &port) != SSH_OK || ssh_options_set(s, SSH_OPTIONS_FD, &socket) != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_NODELAY, &no_nagle) != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, "/dev/null") != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null") != SSH_OK ||
      ssh_options_set(s, SSH_OPTIONS_COMPRESSION, settings.compression > 0 ? "yes" : "no") != SSH_OK ||
      (settings.compression > 0 && ssh_options_set(s, SSH_OPTIONS_COMPRESSION_LEVEL, &settings.compression) != SSH_OK))
    throw_error(errc::bad_spec, "libssh takes no connection to " + settings.destination() + ": " + ssh_error_of(s));
  set_text(s, SSH_OPTIONS_CIPHERS_C_S, settings.ciphers, "Ciphers");
  set_text(s, SSH_OPTIONS_CIPHERS_S_C, settings.ciphers, "Ciphers");
  set_text(s, SSH_OPTIONS_HMAC_C_S, settings.macs, "MACs");
  set_text(s, SSH_OPTIONS_HMAC_S_C, settings.macs, "MACs");
  set_text(s, SSH_OPTIONS_KEY_EXCHANGE, settings.kex_algorithms, "KexAlgorithms");
  set_text(s, SSH_OPTIONS_HOSTKEYS, settings.host_key_algorithms.empty() ? key_types : settings.host_key_algorithms,
           "HostKeyAlgorithms");
  set_text(s, SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, settings.pubkey_algorithms, "PubkeyAcceptedAlgorithms");
  ssh_set_blocking(s, 0);

  int result = ssh_connect(s);
  (void)fd.release();  // the session's from here on
  while (result == SSH_AGAIN) {
    const short events = static_cast<short>(POLLIN | ((ssh_get_poll_flags(s) & SSH_WRITE_PENDING) != 0 ? POLLOUT : 0));
    if (!control.wait(socket, events, deadline))
      throw_error(errc::connect_timeout, settings.host + " port " + std::to_string(settings.port) +
                                             " did not answer in time, as an ssh server would");
    result = ssh_connect(s);
  }
  if (result == SSH_OK) return session;
  const std::string why = escape_for_display(ssh_error_of(s));
  if (ssh_get_serverbanner(s) == nullptr && why.starts_with("Socket error")) throw NoGreeting{why};
  throw_error(errc::host_unreachable, "no ssh connection to " + settings.destination() + ": " + why);
}

void SshLogin::check_host_key(ssh_session session, bool& trusted) const {
  trusted = true;
  ssh_key raw = nullptr;
  if (ssh_get_server_publickey(session, &raw) != SSH_OK)
    throw_error(errc::host_key_unknown, settings.destination() + " shows no host key: " + ssh_error_of(session));
  const SshKey key(raw);
  const SshKnownHosts known(settings);
  const std::string shown = std::string(ssh_key_type_to_char(ssh_key_type(key.get()))) + " " + fingerprint(key.get());
  const std::string name = settings.known_hosts_name();
  switch (known.check(key.get())) {
    case SshKnownHosts::Verdict::known: return;
    case SshKnownHosts::Verdict::unknown:
      if (settings.strict_host_keys != StrictHostKeys::yes) return known.add(key.get());
      throw_error(errc::host_key_unknown, "the host key of " + settings.destination() + " is not known (" + shown +
                                              "). If that is what its owner says, store it: ssh " +
                                              (settings.port == 22 ? "" : "-p " + std::to_string(settings.port) + " ") +
                                              settings.user + "@" + settings.host +
                                              ", or ssh=-o StrictHostKeyChecking=accept-new " + settings.name);
    case SshKnownHosts::Verdict::changed: {
      if (settings.strict_host_keys == StrictHostKeys::no) {
        trusted = false;
        return;
      }
      const std::string& place = known.place();
      throw_error(errc::host_key_changed,
                  "the host key of " + settings.destination() + " has changed: it is " + shown +
                      ", another one is in " + place +
                      ". Either somebody is in between, or the machine was set up anew. Only if its owner says so: "
                      "ssh-keygen -f '" +
                      place.substr(0, place.rfind(':')) + "' -R '" + name + "', and store the new one");
    }
    case SshKnownHosts::Verdict::revoked:
      throw_error(errc::host_key_changed,
                  "the host key of " + settings.destination() + " was revoked: " + shown + " in " + known.place());
  }
}

SshSessionHandle SshLogin::run(FileDescriptor proxied) const {
  const bool direct = !proxied;
  const std::string key_types = SshKnownHosts(settings).key_types();
  Backoff backoff;
  SshSessionHandle session;
  for (;;) {
    try {
      session = handshake(direct ? connect() : std::move(proxied), key_types);
      break;
    } catch (const NoGreeting& silence) {
      const auto pause = backoff.next();
      trace::log("ssh ", settings.destination(), ": no greeting (", silence.text, "), again in ", pause.count(), " ms");
      const auto then = Clock::now() + pause;
      if (!direct || then >= deadline)
        throw_error(direct ? errc::server_limit : errc::host_unreachable,
                    settings.host + " port " + std::to_string(settings.port) +
                        " hangs up before its greeting: no ssh server, or one with too many logins under way "
                        "(MaxStartups): " +
                        silence.text);
      (void)control.wait(-1, 0, then);
      if (control.cancelled()) throw_error(errc::cancelled, "the login was given up");
    }
  }
  bool trusted = false;
  check_host_key(session.get(), trusted);
  const int socket = ssh_get_fd(session.get());
  authenticate(session.get(), settings, askpass, trusted, control, [&](const std::function<int()>& step) {
    for (;;) {
      const int result = step();
      if (result != SSH_AUTH_AGAIN) return result;
      if (!is_alive(session.get())) return static_cast<int>(SSH_AUTH_ERROR);  // libssh would wait for ever
      const bool pending = (ssh_get_poll_flags(session.get()) & SSH_WRITE_PENDING) != 0;
      if (!control.wait(socket, static_cast<short>(POLLIN | (pending ? POLLOUT : 0)), deadline))
        throw_error(errc::connect_timeout, "the login to " + settings.destination() + " took too long");
    }
  });
  trace::log("ssh ", settings.destination(), ": logged in, libssh ", ssh_version(0), ", ",
             ssh_get_serverbanner(session.get()));
  return session;
}

}  // namespace gangway::detail
