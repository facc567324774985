#include "tests/support/server_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include <array>
#include <csignal>

#include "tests/support/agents.hpp"

namespace gangway::test {

ServerProcess::ServerProcess(const std::vector<std::string>& arguments,
                             const std::vector<std::pair<std::string, std::string>>& environment,
                             std::vector<std::string> before) {
  detail::Pipe out = detail::make_pipe();
  log_.reset(::memfd_create("gwserver-log", MFD_CLOEXEC));
  const detail::FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  detail::SpawnRequest request;
  request.argv = std::move(before);
  request.argv.push_back(build_bin() + "/gwserver");
  request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
  request.extra_env = environment;
  request.descriptors = {{null.get(), 0}, {out.write.get(), 1}, {log_.get(), 2}};
  child_ = detail::ChildProcess::start(request);
  out.write.reset();
  std::string text;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (text.find('\n') == text.npos && std::chrono::steady_clock::now() < deadline) {
    pollfd wait{out.read.get(), POLLIN, 0};
    if (::poll(&wait, 1, 100) <= 0) continue;
    std::array<char, 4096> buffer;
    const ssize_t size = ::read(out.read.get(), buffer.data(), buffer.size());
    if (size <= 0) return;  // it has ended
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  constexpr std::string_view words = "listening on ";
  if (text.starts_with(words)) address_ = text.substr(words.size(), text.find('\n') - words.size());
}

ServerProcess::~ServerProcess() {
  if (!child_) return;
  child_.signal(SIGTERM);
  (void)child_.wait_for(std::chrono::seconds(10));
}

std::string ServerProcess::log() const {
  std::string text;
  std::array<char, 4096> buffer;
  for (off_t at = 0;;) {
    const ssize_t size = ::pread(log_.get(), buffer.data(), buffer.size(), at);
    if (size <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
    at += size;
  }
}

}  // namespace gangway::test
