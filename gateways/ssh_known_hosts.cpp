#include "gateways/ssh_known_hosts.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/escape.hpp"
#include "core/file_descriptor.hpp"
#include "gateways/ssh_file.hpp"

namespace gangway::detail {

namespace {

// libssh's own preferences, for what is not known yet.
constexpr std::string_view usual_types =
    "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";

std::string types_of(ssh_key key) {
  switch (ssh_key_type(key)) {
    case SSH_KEYTYPE_RSA: return "rsa-sha2-512,rsa-sha2-256";
    case SSH_KEYTYPE_ECDSA_P256:
    case SSH_KEYTYPE_ECDSA_P384:
    case SSH_KEYTYPE_ECDSA_P521:
    case SSH_KEYTYPE_ED25519: return ssh_key_type_to_char(ssh_key_type(key));
    default: return {};
  }
}

// "|1|SALT|HASH" (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): who reads the file learns no names. "" when OpenSSL cannot.
std::string hashed(const std::string& name) {
  std::array<unsigned char, 20> salt, hash;  // of SHA-1
  std::array<char, 29> text;                 // 20 bytes in base 64, and a NUL
  if (RAND_bytes(salt.data(), salt.size()) != 1 ||
      HMAC(EVP_sha1(), salt.data(), salt.size(), reinterpret_cast<const unsigned char*>(name.data()), name.size(),
           hash.data(), nullptr) == nullptr)
    return {};
  std::string result = "|1";
  for (const auto& part : {salt, hash}) {
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), part.data(), static_cast<int>(part.size()));
    result.append("|").append(text.data());
  }
  return result;
}

}  // namespace

std::string fingerprint(ssh_key key) {
  unsigned char* hash = nullptr;
  std::size_t size = 0;
  if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &size) != SSH_OK) return {};
  const SshText text(ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, size));
  ssh_clean_pubkey_hash(&hash);
  return text ? text.get() : "";
}

SshKnownHosts::SshKnownHosts(const SshSettings& settings)
    : name_(settings.known_hosts_name()),
      file_(settings.user_known_hosts.empty() ? "" : settings.user_known_hosts.front()),
      hash_names_(settings.hash_known_hosts) {
  for (const std::string& path : settings.user_known_hosts) read(path);
  for (const std::string& path : settings.global_known_hosts) read(path);
}

void SshKnownHosts::read(const std::string& path) {
  const auto text = read_ssh_file(path, errc::host_key_unknown, "known hosts");
  if (!text) return;
  int number = 0;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    std::string line = text->substr(at, end - at);
    at = end + 1;
    ++number;
    std::replace(line.begin(), line.end(), '\t', ' ');
    line.erase(0, line.find_first_not_of(' '));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#' || line.find('\0') != line.npos) continue;
    bool revoked = false;
    if (line.front() == '@') {
      revoked = line.starts_with("@revoked ");
      if (!revoked) continue;
      line.erase(0, line.find_first_not_of(' ', line.find(' ')));
    }
    ssh_knownhosts_entry* raw = nullptr;
    if (ssh_known_hosts_parse_line(name_.c_str(), line.c_str(), &raw) != SSH_OK || raw == nullptr) continue;
    const SshOwned<ssh_knownhosts_entry*> entry(raw);
    entries_.push_back(
        {SshKey(std::exchange(entry->publickey, nullptr)), revoked, path + ":" + std::to_string(number)});
  }
}

std::string SshKnownHosts::key_types() const {
  std::string types;
  for (const Entry& entry : entries_)
    if (const std::string more = types_of(entry.key.get()); !entry.revoked && !more.empty()) types += more + ",";
  return types.empty() ? types : types + std::string(usual_types);
}

SshKnownHosts::Verdict SshKnownHosts::check(ssh_key key) const {
  Verdict verdict = Verdict::unknown;
  for (const Entry& entry : entries_) {
    const bool same = ssh_key_cmp(key, entry.key.get(), SSH_KEY_CMP_PUBLIC) == 0;
    if (entry.revoked && same) {
      place_ = entry.place;
      return Verdict::revoked;
    }
    if (entry.revoked || verdict == Verdict::known) continue;
    if (!same) place_ = entry.place;
    verdict = same ? Verdict::known : Verdict::changed;
  }
  return verdict;
}

void SshKnownHosts::add(ssh_key key) const {
  const auto fail = [&](const std::string& why) {
    throw_error(errc::host_key_unknown,
                "the host key cannot be stored in " + (file_.empty() ? "any file" : file_) + ": " + why);
  };
  if (file_.empty()) fail("UserKnownHostsFile is none");
  char* raw = nullptr;
  if (ssh_pki_export_pubkey_base64(key, &raw) != SSH_OK) fail("the key cannot be written as text");
  const SshText text(raw);
  const std::string name = hash_names_ ? hashed(name_) : name_;
  if (name.empty()) fail("OpenSSL cannot hash the name (HashKnownHosts)");
  (void)::mkdir(file_.substr(0, file_.rfind('/')).c_str(), 0700);
  const FileDescriptor file(
      ::open(file_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600));
  if (!file) fail(last_os_error().message());
  std::string line = name + " " + ssh_key_type_to_char(ssh_key_type(key)) + " " + text.get() + "\n";
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  char last = '\n';
  if (size > 0 && ::pread(file.get(), &last, 1, size - 1) == 1 && last != '\n') line.insert(0, "\n");
  // One write: others may be adding to it, too.
  if (::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    fail(last_os_error().message());
}

}  // namespace gangway::detail
