#include "gateways/ssh_control.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "core/file_descriptor.hpp"
#include "core/trace.hpp"

namespace gangway::detail {

namespace {

namespace fs = std::filesystem;

// Sockets have names of 107 bytes at most: this one a number of at most ten digits, and a suffix of
// 17 that ssh adds while it makes it.
constexpr std::size_t longest_directory = 107 - 11 - 17;

// So long a master may take for an answer; it is a process on this machine that has nothing else to do.
constexpr timeval patience{0, 200'000};

// PROTOCOL.mux: big-endian words, each packet behind its length.
constexpr std::array<unsigned char, 24> hello_and_terminate{
    0, 0, 0, 8, 0,    0, 0, 1, 0, 0, 0, 4,   // MUX_MSG_HELLO, version 4
    0, 0, 0, 8, 0x10, 0, 0, 5, 0, 0, 0, 1};  // MUX_C_TERMINATE, request 1

FileDescriptor connect_to(const std::string& socket_path, int flags = 0) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!socket) return {};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  return socket;
}

void terminate(const std::string& socket_path) {
  const FileDescriptor socket = connect_to(socket_path);
  if (!socket) return;
  if (::send(socket.get(), hello_and_terminate.data(), hello_and_terminate.size(), MSG_NOSIGNAL) < 0) return;
  // Until it closes: if we did first, it would not look at the second packet.
  std::array<char, 256> answers;
  while (::recv(socket.get(), answers.data(), answers.size(), 0) > 0) {
  }
}

}  // namespace

SshControl::~SshControl() {
  if (fork_.in_child()) return;  // they are the parent's
  end();
  std::error_code ignored;
  const std::lock_guard lock(mutex_);
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

std::string SshControl::path(const XSpec& spec) {
  const auto level = spec.compress();
  const std::string destination = spec.get("ssh").value_or("") + "\n" + spec.get("ssh_config").value_or("") + "\n" +
                                  (!level       ? ""
                                   : *level > 0 ? "yes"
                                                : "no");
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
  const auto place = std::find(destinations_.begin(), destinations_.end(), destination);
  const auto number = place - destinations_.begin();
  if (place == destinations_.end()) destinations_.push_back(destination);
  return directory_ + "/" + std::to_string(number);
}

SshControl::Turn SshControl::enter(const std::string& path, std::function<void()> turn) {
  if (has_master(path)) return Turn::start;
  const std::lock_guard lock(mutex_);
  const auto [login, is_first] = logins_.try_emplace(path);
  if (is_first) return Turn::log_in;
  login->second.push_back(std::move(turn));
  return Turn::wait;
}

// One that is too busy to take us now is there, too.
bool SshControl::has_master(const std::string& path) {
  errno = 0;
  return static_cast<bool>(connect_to(path, SOCK_NONBLOCK)) || errno == EAGAIN;
}

void SshControl::login_over(const std::string& path) noexcept {
  std::vector<std::function<void()>> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto login = logins_.find(path);
    if (login == logins_.end()) return;
    waiting = std::move(login->second);
    logins_.erase(login);
  }
  try {
    for (const auto& turn : waiting) turn();
  } catch (const std::exception& problem) {  // they do not wait for ever
    trace::log("ssh's login is over: ", problem.what());
  }
}

void SshControl::end() noexcept {
  try {
    std::string directory;
    {
      const std::lock_guard lock(mutex_);
      directory = directory_;
    }
    if (directory.empty()) return;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(directory, problem))
      if (entry.is_socket(problem)) terminate(entry.path());
  } catch (const std::exception& error) {
    trace::log("ending ssh's masters failed: ", error.what());
  }
}

}  // namespace gangway::detail
