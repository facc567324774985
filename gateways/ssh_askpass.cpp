#include "gateways/ssh_askpass.hpp"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <utility>

#include "core/process.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

namespace {

constexpr std::size_t longest_answer = 1024;  // OpenSSH's

std::string askpass_program() {
  const char* const require = std::getenv("SSH_ASKPASS_REQUIRE");
  if (require != nullptr && std::string_view(require) == "never") return {};
  const char* const program = std::getenv("SSH_ASKPASS");
  return program != nullptr ? program : "";
}

std::optional<SshAnswer> run_askpass(const std::string& program, const SshPrompt& prompt, SshLoginControl& control) {
  Pipe output = make_pipe();
  const FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  SpawnRequest request;
  request.argv = {program, prompt.text};
  request.descriptors = {{null.get(), STDIN_FILENO}, {output.write.get(), STDOUT_FILENO}};
  ChildProcess child = ChildProcess::start(request);  // its destructor ends it
  output.write.reset();
  struct Wiped : std::array<char, longest_answer + 1> {
    ~Wiped() { ::explicit_bzero(data(), size()); }
  } buffer;
  std::size_t size = 0;
  for (;;) {
    if (!control.wait(output.read.get(), POLLIN, {})) return {};
    const ssize_t got = ::read(output.read.get(), buffer.data() + size, buffer.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
    if (size == buffer.size()) break;
  }
  std::string_view line(buffer.data(), size);
  line = line.substr(0, line.find_first_of("\r\n"));
  SshAnswer answer(line);
  if (!control.wait(child.pidfd(), POLLIN, {})) return {};
  const auto status = child.try_reap();
  if (!status || !status->success()) return {};
  return answer;
}

}  // namespace

void SshAnswer::wipe() noexcept {
  ::explicit_bzero(text_.data(), text_.capacity());
  text_.clear();
}

bool SshLoginControl::wait(int fd, short events, Deadline deadline) const noexcept {
  for (;;) {
    if (cancelled_) return false;
    int timeout = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
      if (left <= 0) return false;
      timeout = static_cast<int>(std::min<long long>(left, 3'600'000));
    }
    std::array<pollfd, 2> fds{pollfd{event_.get(), POLLIN, 0}, pollfd{fd, events, 0}};
    if (::poll(fds.data(), fds.size(), timeout) > 0 && fds[1].revents != 0) return true;
  }
}

bool can_ask(const SshAskpass& askpass) { return askpass || !askpass_program().empty(); }

std::optional<SshAnswer> ask(const SshAskpass& askpass, const SshPrompt& prompt, SshLoginControl& control) {
  try {
    if (askpass) {
      auto answer = askpass(prompt);
      if (!answer) return {};
      SshAnswer kept(*answer);
      ::explicit_bzero(answer->data(), answer->size());
      if (control.cancelled()) return {};
      return kept;
    }
    if (const std::string program = askpass_program(); !program.empty()) return run_askpass(program, prompt, control);
  } catch (const std::exception& problem) {
    trace::log("ssh: nobody could be asked: ", problem.what());
  }
  return {};
}

}  // namespace gangway::detail
