#include "gateways/warm_server.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <thread>

#include <gangway/limits.hpp>

#include "core/trace.hpp"
#include "gateways/warm_protocol.hpp"

namespace gangway::detail {

namespace {

using std::chrono::milliseconds;

// A fork takes less than a millisecond; a server that needs so long hangs.
constexpr milliseconds answer_patience{1000};

template <class Packet>
boost::system::error_code receive(const FileDescriptor& socket, milliseconds patience, Packet& packet) {
  return receive_packet(socket.get(), std::as_writable_bytes(std::span(&packet, 1)), patience);
}

}  // namespace

WarmServer::WarmServer(const SpawnRequest& request, ProcessOps& ops) : ops_(ops) {
  auto [ours, theirs] = make_warm_socket();
  FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null || !avoid_standard_numbers(null)) throw_error(last_os_error(), "/dev/null cannot be opened");
  SpawnRequest server = request;
  // Where a server whose interpreter runs before it finds what that had to say.
  FileDescriptor words(::memfd_create("stderr", MFD_CLOEXEC));
  if (!words || !avoid_standard_numbers(words)) throw_error(last_os_error(), "memfd_create");
  server.descriptors = {{theirs.get(), STDIN_FILENO}, {null.get(), STDOUT_FILENO}, {words.get(), STDERR_FILENO}};
  process_ = ChildProcess::start(server, ops);
  socket_ = std::move(ours);
  trace::log("process ", process_.pid(), " is a warm server");
}

WarmServer::~WarmServer() { end(); }

void WarmServer::hang_up() noexcept {
  condition_ = Condition::gone;
  socket_.reset();
}

// A keeper that was forked, but not announced, is still in the server's process group: that
// is how it is found, and ended and reaped like the server itself.
void WarmServer::end() noexcept {
  if (condition_ != Condition::unfit) condition_ = Condition::gone;
  socket_.reset();
  if (!process_) return;
  const pid_t group = process_.pid();
  process_.signal_group(SIGKILL);
  process_ = {};
  const auto deadline = std::chrono::steady_clock::now() + limits::kill_grace;
  while (std::chrono::steady_clock::now() < deadline) {
    siginfo_t info{};
    if (ops_.waitid(P_PGID, static_cast<id_t>(group), &info, WEXITED | WNOHANG) != 0) break;  // nobody there
    if (info.si_pid == 0) std::this_thread::sleep_for(milliseconds(1));
  }
}

WarmServer::Condition WarmServer::condition(milliseconds patience) {
  if (condition_ == Condition::ready && process_.has_ended()) end();
  if (condition_ != Condition::starting) return condition_;
  WarmReady ready;
  const auto error = receive(socket_, patience, ready);
  if (!error && ready.magic == warm_magic && ready.fit != 0) {
    condition_ = Condition::ready;
  } else if (error.value() != ETIMEDOUT) {
    trace::log("the warm server is of no use: ", error ? error.message() : "its agents would differ");
    condition_ = Condition::unfit;
    end();
  }
  return condition_;
}

std::optional<ChildProcess> WarmServer::fork_agent(const SpawnRequest& request) {
  if (condition() != Condition::ready || request.descriptors.size() != 3) return {};
  std::array<int, 3> descriptors{-1, -1, -1};
  for (const auto& [from, to] : request.descriptors) descriptors.at(static_cast<std::size_t>(to)) = from;
  WarmForked forked;
  constexpr std::byte request_byte{};
  auto error = send_packet(socket_.get(), {&request_byte, 1}, descriptors);
  if (!error) error = receive(socket_, answer_patience, forked);
  if (error) {
    trace::log("the warm server does not answer: ", error.message());
    end();
    return {};
  }
  if (forked.error != 0) {
    trace::log("the warm server could not fork: ", std::strerror(forked.error));
    if (forked.error == ESTALE) end();
    return {};
  }
  return ChildProcess::adopt(forked.pid, ops_);
}

}  // namespace gangway::detail
