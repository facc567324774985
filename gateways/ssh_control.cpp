#include "gateways/ssh_control.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/file_descriptor.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

namespace {

namespace fs = std::filesystem;

// Sockets have names of 107 bytes at most, and ssh makes this one: 40 digits of a hash, and while
// it is being made a suffix of 17.
constexpr std::size_t longest_directory = 107 - 41 - 17;

// So long a master may take for an answer; it is a process on this machine that has nothing else to do.
constexpr timeval patience{0, 200'000};

// PROTOCOL.mux: big-endian words, each packet behind its length.
constexpr std::array<unsigned char, 24> hello_and_terminate{
    0, 0, 0, 8, 0,    0, 0, 1, 0, 0, 0, 4,   // MUX_MSG_HELLO, version 4
    0, 0, 0, 8, 0x10, 0, 0, 5, 0, 0, 0, 1};  // MUX_C_TERMINATE, request 1

void terminate(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
  if (::send(socket.get(), hello_and_terminate.data(), hello_and_terminate.size(), MSG_NOSIGNAL) < 0) return;
  // Until it closes: if we did first, it would not look at the second packet.
  std::array<char, 256> answers;
  while (::recv(socket.get(), answers.data(), answers.size(), 0) > 0) {
  }
}

}  // namespace

SshControl::~SshControl() {
  end();
  std::error_code ignored;
  const std::lock_guard lock(mutex_);
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

std::string SshControl::path() {
  const std::lock_guard lock(mutex_);
  if (directory_.empty()) {
    std::error_code problem;
    std::string name = fs::temp_directory_path(problem) / "gangway-XXXXXX";
    if (problem || name.size() > longest_directory) name = "/tmp/gangway-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) {
      trace::log("no directory for ssh's control sockets: ", std::strerror(errno));
      return {};
    }
    directory_ = name;
  }
  return directory_ + "/%C";
}

void SshControl::end() noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (directory_.empty()) return;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(directory_, problem))
      if (entry.is_socket(problem)) terminate(entry.path());
  } catch (const std::exception& error) {
    trace::log("ending ssh's masters failed: ", error.what());
  }
}

}  // namespace gangway::detail
