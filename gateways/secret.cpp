#include "gateways/secret.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/escape.hpp"
#include "core/file_descriptor.hpp"

namespace gangway::detail {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

[[noreturn]] void complain(const std::string& what) { throw_error(errc::bad_argument, what); }

}  // namespace

Secret::Secret(std::string text) : text_(std::move(text)) {
  if (text_.size() < limits::secret_least)
    complain("a secret has at least " + std::to_string(limits::secret_least) +
             " characters; `openssl rand -hex 32` makes a good one");
  if (text_.size() > limits::secret_most)
    complain("a secret has at most " + std::to_string(limits::secret_most) + " characters");
}

Secret::~Secret() { OPENSSL_cleanse(text_.data(), text_.size()); }

Secret Secret::from_file(const std::string& path) {
  const std::string name = "the secret file " + escape_for_display(path);
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) complain(name + " cannot be read: " + last_os_error().message());
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) complain(name + " cannot be read: " + last_os_error().message());
  if (!S_ISREG(status.st_mode)) complain(name + " is not a file");
  if (status.st_uid != ::geteuid() && status.st_uid != 0) complain(name + " belongs to another user");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) complain(name + " can be read by others: chmod 600 it");
  std::array<char, limits::secret_most + 64> buffer;
  std::size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t more = ::read(file.get(), buffer.data() + size, buffer.size() - size);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) complain(name + " cannot be read: " + last_os_error().message());
    if (more == 0) break;
    size += static_cast<std::size_t>(more);
  }
  std::string text(trimmed({buffer.data(), size}));
  OPENSSL_cleanse(buffer.data(), buffer.size());
  try {
    return Secret(std::move(text));
  } catch (const Error& problem) {
    complain(name + ": " + problem.what());
  }
}

std::optional<Secret> Secret::from_environment() {
  if (const char* const text = std::getenv(secret_variable)) {
    try {
      return Secret(std::string(trimmed(text)));
    } catch (const Error& problem) {
      complain(std::string(secret_variable) + ": " + problem.what());
    }
  }
  if (const char* const path = std::getenv(secret_file_variable)) return from_file(path);
  return {};
}

}  // namespace gangway::detail
