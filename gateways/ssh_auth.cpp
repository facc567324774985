#include "gateways/ssh_auth.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gangway/error.hpp>

#include "core/escape.hpp"
#include "gateways/ssh_agent_filter.hpp"
#include "gateways/ssh_askpass.hpp"

namespace gangway::detail {

namespace {

FileDescriptor connect_to_agent(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return {};
  path.copy(address.sun_path, path.size());
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && (!avoid_standard_numbers(fd) ||
             ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0))
    return {};
  return fd;
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

// As ssh(1): a key that others can read is none.
bool readable_by_others(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && status.st_uid == ::getuid() && (status.st_mode & 077) != 0;
}

// PEM, of all kinds.
bool is_private_key(const std::string& path) {
  std::ifstream file(path);
  std::array<char, 64> head{};
  file.read(head.data(), head.size());
  return std::string_view(head.data(), head.size()).find("PRIVATE KEY") != std::string_view::npos;
}

class Authentication {
 public:
  Authentication(ssh_session session, const SshSettings& settings, const SshAskpass& askpass, bool trusted,
                 SshLoginControl& control, const SshPatience& patience)
      : session_(session),
        settings_(settings),
        askpass_(askpass),
        trusted_(trusted),
        control_(control),
        patience_(patience) {}

  void run() {
    if (done(patience_([&] { return ssh_userauth_none(session_, nullptr); }))) return;
    // Again after a partial success: the server wants one more way, and says which.
    for (int ways = 0; ways < 4; ++ways) {
      partial_ = false;
      offered_ = ssh_userauth_list(session_, nullptr);
      if (try_all()) return;
      if (!partial_) break;
    }
    std::string text = settings_.destination() + " takes none of what was tried:";
    for (const std::string& each : tried_) text += "\n  " + each;
    if (tried_.empty()) text += " nothing, there is no key, no ssh-agent and no password";
    text += "\n  it takes: " + methods(offered_);
    const std::string banner = ssh_banner_of(session_);
    if (!banner.empty()) text += "\n  it says: " + escape_for_display(banner.substr(0, 200));
    throw_error(errc::auth_failed, text);
  }

 private:
  // Whether the login is complete. Throws when there is no session any more.
  bool done(int result) {
    if (result == SSH_AUTH_SUCCESS) return true;
    if (result == SSH_AUTH_PARTIAL) partial_ = true;
    if (result == SSH_AUTH_ERROR && !is_alive(session_)) lost();
    return false;
  }

  [[noreturn]] void lost() {
    std::string text = settings_.destination() + " ended the login: " + escape_for_display(ssh_error_of(session_));
    for (const std::string& each : tried_) text += "\n  " + each;
    throw_error(tried_.empty() ? errc::host_unreachable : errc::auth_failed, text);
  }

  static std::string methods(int offered) {
    std::string names;
    for (const auto& [bit, name] :
         {std::pair{SSH_AUTH_METHOD_PUBLICKEY, "publickey"},
          std::pair{SSH_AUTH_METHOD_INTERACTIVE, "keyboard-interactive"},
          std::pair{SSH_AUTH_METHOD_PASSWORD, "password"}, std::pair{SSH_AUTH_METHOD_GSSAPI_MIC, "gssapi-with-mic"},
          std::pair{SSH_AUTH_METHOD_HOSTBASED, "hostbased"}})
      if ((offered & bit) != 0) names += (names.empty() ? "" : ", ") + std::string(name);
    return names.empty() ? "nothing that is known here" : names;
  }

  bool try_all() {
    if ((offered_ & SSH_AUTH_METHOD_PUBLICKEY) != 0 && settings_.publickey) {
      // Keys that were named, then the agent's, then the usual ones; what needs a passphrase last.
      if (settings_.identities_given && (try_files(false) || partial_)) return !partial_;
      if (try_agent() || partial_) return !partial_;
      if (!settings_.identities_given && (try_files(false) || partial_)) return !partial_;
      if (!locked_.empty() && (try_files(true) || partial_)) return !partial_;
    }
    if ((offered_ & SSH_AUTH_METHOD_INTERACTIVE) != 0 && settings_.keyboard_interactive &&
        may_ask("keyboard-interactive"))
      if (try_keyboard_interactive() || partial_) return !partial_;
    if ((offered_ & SSH_AUTH_METHOD_PASSWORD) != 0 && settings_.password && may_ask("password"))
      if (try_password()) return !partial_;
    return false;
  }

  bool may_ask(const std::string& method) {
    if (!trusted_)
      tried_.push_back(method + ": not sent to a host whose key has changed");
    else if (settings_.batch_mode)
      tried_.push_back(method + ": BatchMode");
    else if (!can_ask(askpass_))
      tried_.push_back(method + ": there is nobody to ask (Group::set_ssh_askpass, SSH_ASKPASS)");
    else
      return true;
    return false;
  }

  bool try_files(bool locked) {
    for (const std::string& file : settings_.identity_files) {
      const bool is_locked = std::find(locked_.begin(), locked_.end(), file) != locked_.end();
      if (locked == is_locked && (try_file(file, locked) || partial_)) return true;
    }
    return false;
  }

  bool try_file(const std::string& file, bool unlock) {
    if (!exists(file) && !exists(file + ".pub")) {
      if (settings_.identities_given) tried_.push_back("publickey " + file + ": no such file");
      return false;
    }
    if (exists(file) && !is_private_key(file)) return false;  // it names a key of the agent
    if (readable_by_others(file)) {
      tried_.push_back("publickey " + file + ": ignored, others can read it");
      return false;
    }
    std::vector<SshKey> publics;  // the certificates first
    std::vector<std::string> certificates = settings_.certificate_files;
    certificates.push_back(file + "-cert.pub");
    ssh_key raw = nullptr;
    for (const std::string& path : certificates)
      if (exists(path) && ssh_pki_import_cert_file(path.c_str(), &raw) == SSH_OK) publics.emplace_back(raw);
    const std::size_t certificate_count = publics.size();
    if (ssh_pki_import_pubkey_file((exists(file + ".pub") ? file + ".pub" : file).c_str(), &raw) == SSH_OK)
      publics.emplace_back(raw);

    SshKey secret;
    if (publics.empty()) {  // an old format: the public half is in the private one only
      secret = load(file, unlock);
      if (!secret) return false;
      if (ssh_pki_export_privkey_to_pubkey(secret.get(), &raw) == SSH_OK) publics.emplace_back(raw);
    }
    for (std::size_t at = 0; at < publics.size(); ++at) {
      const bool certificate = at < certificate_count;
      const std::string what = "publickey " + file + (certificate ? " with certificate" : "");
      const int asked = patience_([&] { return ssh_userauth_try_publickey(session_, nullptr, publics[at].get()); });
      if (asked != SSH_AUTH_SUCCESS) {
        tried_.push_back(what + ": refused");
        (void)done(asked);
        continue;
      }
      if (!secret) secret = load(file, unlock);
      if (!secret) return false;
      if (certificate && ssh_pki_copy_cert_to_privkey(publics[at].get(), secret.get()) != SSH_OK) continue;
      if (done(patience_([&] { return ssh_userauth_publickey(session_, nullptr, secret.get()); }))) return true;
      tried_.push_back(what + (partial_ ? ": taken, but not enough" : ": the signature was refused"));
      if (partial_) return true;
    }
    return false;
  }

  struct Unlocking {
    Authentication* self;
    const std::string* file;
    bool unlock;
    bool asked;
  };

  SshKey load(const std::string& file, bool unlock) {
    Unlocking unlocking{this, &file, unlock, false};
    ssh_key raw = nullptr;
    const int result = ssh_pki_import_privkey_file(file.c_str(), nullptr, give_passphrase, &unlocking, &raw);
    if (result == SSH_OK) return SshKey(raw);
    if (unlocking.asked && !unlock) {
      locked_.push_back(file);
    } else {
      tried_.push_back("publickey " + file +
                       (unlocking.asked ? can_ask(askpass_) && !settings_.batch_mode
                                              ? ": wrong passphrase"
                                              : ": needs a passphrase, and there is nobody to ask "
                                                "(Group::set_ssh_askpass, SSH_ASKPASS, ssh-agent)"
                                        : ": cannot be read as a private key"));
    }
    return nullptr;
  }

  // For libssh, which calls it for a key that needs one.
  static int give_passphrase(const char*, char* buffer, std::size_t size, int, int, void* data) {
    auto& unlocking = *static_cast<Unlocking*>(data);
    unlocking.asked = true;
    Authentication& self = *unlocking.self;
    if (!unlocking.unlock || self.settings_.batch_mode || !can_ask(self.askpass_)) return -1;
    SshPrompt prompt{SshPrompt::Kind::passphrase,
                     "Enter passphrase for key '" + *unlocking.file + "': ", self.settings_.destination(),
                     *unlocking.file};
    const auto answer = ask(self.askpass_, prompt, self.control_);
    if (!answer || answer->text().size() >= size) return -1;
    answer->text().copy(buffer, size);
    buffer[answer->text().size()] = '\0';
    return 0;
  }

  // The public keys of the files that the configuration names, as an agent has them.
  std::vector<std::string> named_keys() {
    std::vector<std::string> keys;
    if (!settings_.identities_given && !settings_.identities_only) return keys;
    for (const std::string& file : settings_.identity_files) {
      ssh_key raw = nullptr;
      if (ssh_pki_import_pubkey_file((exists(file + ".pub") ? file + ".pub" : file).c_str(), &raw) != SSH_OK) continue;
      const SshKey key(raw);
      char* text = nullptr;
      if (ssh_pki_export_pubkey_base64(key.get(), &text) == SSH_OK) keys.push_back(decode_base64(SshText(text).get()));
    }
    return keys;
  }

  bool try_agent() {
    if (settings_.agent_socket.empty()) return false;
    FileDescriptor agent = connect_to_agent(settings_.agent_socket);
    if (!agent) {
      tried_.push_back("publickey ssh-agent: it cannot be reached at " + settings_.agent_socket);
      return false;
    }
    SshAgentFilter filter(std::move(agent), named_keys(), settings_.identities_only);
    FileDescriptor end = filter.take_end();
    if (ssh_set_agent_socket(session_, end.get()) != SSH_OK) return false;
    (void)end.release();  // the session's
    const struct Announced {
      SshLoginControl& control;
      ~Announced() { control.set_agent(-1); }
    } announced{control_};
    control_.set_agent(filter.agent());
    const int result = patience_([&] { return ssh_userauth_agent(session_, nullptr); });
    if (done(result)) return true;
    tried_.push_back(partial_ ? "publickey ssh-agent: a key was taken, but is not enough"
                              : "publickey ssh-agent: none of its keys");
    return false;
  }

  // What the server says, with its origin in front of every line: it could ask for the passphrase of a key.
  std::string of_server(const char* said) const {
    const std::string origin = "(" + settings_.destination() + ") ";
    std::string text = origin;
    for (const char c : escape_for_display(said != nullptr ? said : "")) {
      text += c;
      if (c == '\n') text += origin;
    }
    return text;
  }

  // The name and the instruction of a request, for whoever is asked first.
  std::string introduction() const {
    std::string text;
    for (const char* const said : {ssh_userauth_kbdint_getname(session_), ssh_userauth_kbdint_getinstruction(session_)})
      if (said != nullptr && *said != '\0') text += of_server(said) + "\n";
    return text;
  }

  bool try_keyboard_interactive() {
    for (int attempt = 0; attempt < settings_.password_prompts; ++attempt) {
      int result = patience_([&] { return ssh_userauth_kbdint(session_, nullptr, nullptr); });
      // A server that asks for ever is not answered for ever.
      for (int round = 0; result == SSH_AUTH_INFO && round < 16; ++round) {
        const int count = ssh_userauth_kbdint_getnprompts(session_);
        for (int at = 0; at < count; ++at) {
          char echo = 0;
          const char* const text = ssh_userauth_kbdint_getprompt(session_, static_cast<unsigned>(at), &echo);
          const SshPrompt prompt{SshPrompt::Kind::keyboard_interactive,
                                 (at == 0 ? introduction() : "") + of_server(text),
                                 settings_.destination(),
                                 {},
                                 echo != 0};
          const auto answer = ask(askpass_, prompt, control_);
          if (!answer) {
            tried_.push_back("keyboard-interactive: no answer");
            return false;
          }
          if (ssh_userauth_kbdint_setanswer(session_, static_cast<unsigned>(at), answer->text().c_str()) != 0)
            return false;
        }
        result = patience_([&] { return ssh_userauth_kbdint(session_, nullptr, nullptr); });
      }
      if (done(result)) return true;
      if (partial_) return false;
      if (attempt == 0) tried_.push_back("keyboard-interactive: refused");  // before the server ends it
    }
    return false;
  }

  bool try_password() {
    for (int attempt = 0; attempt < settings_.password_prompts; ++attempt) {
      const auto answer = ask(
          askpass_, {SshPrompt::Kind::password, settings_.destination() + "'s password: ", settings_.destination(), {}},
          control_);
      if (!answer) {
        tried_.push_back("password: no answer");
        return false;
      }
      if (done(patience_([&] { return ssh_userauth_password(session_, nullptr, answer->text().c_str()); })))
        return true;
      if (partial_) return false;
      if (attempt == 0) tried_.push_back("password: refused");
    }
    return false;
  }

  ssh_session const session_;
  const SshSettings& settings_;
  const SshAskpass& askpass_;
  const bool trusted_;
  SshLoginControl& control_;
  const SshPatience& patience_;
  int offered_ = 0;
  bool partial_ = false;
  std::vector<std::string> tried_;
  std::vector<std::string> locked_;  // files that need a passphrase, and whose key the server would take
};

}  // namespace

void authenticate(ssh_session session, const SshSettings& settings, const SshAskpass& askpass, bool trusted,
                  SshLoginControl& control, const SshPatience& patience) {
  Authentication(session, settings, askpass, trusted, control, patience).run();
}

}  // namespace gangway::detail
