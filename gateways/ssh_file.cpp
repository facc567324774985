#include "gateways/ssh_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gangway/limits.hpp>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

std::optional<std::string> read_ssh_file(const std::string& path, errc code, std::string_view what, bool private_file) {
  // O_NONBLOCK: a fifo is found out, not waited for.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return {};
  const auto fail = [&](const std::string& why) {
    throw_error(code, "ssh " + std::string(what) + ": " + path + ": " + why);
  };
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) fail(last_os_error().message());
  if (path != "/dev/null" && !S_ISREG(status.st_mode)) fail("not a regular file");
  if (status.st_size > static_cast<off_t>(limits::ssh_file)) fail("too large");
  if (private_file && ((status.st_uid != 0 && status.st_uid != ::getuid()) || (status.st_mode & 022) != 0))
    fail("others could have written it (owner or permissions)");
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(last_os_error().message());
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

}  // namespace gangway::detail
