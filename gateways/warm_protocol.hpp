// What a controller and its warm server say to each other: packets on a Unix socket of the
// type SOCK_SEQPACKET, which the server finds on descriptor 0. That type is how an agent
// knows that it is to be a server: its arguments and its environment stay what every agent
// has (spec-docs/bootstrap.md, "Warm starts").
//
//   server      WarmReady, once: Python has started
//   controller  one byte with three descriptors: the new agent's 0, 1 and 2
//   server      WarmForked
//
// Both sides are built from the same sources; the magic number keeps others out.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <sys/types.h>

#include "core/file_descriptor.hpp"

namespace gangway::detail {

inline constexpr std::uint32_t warm_magic = 0x67770001;

struct WarmReady {
  std::uint32_t magic = warm_magic;
  std::int32_t fit = 0;  // 0: a fork would differ from a fresh start here; the server ends
};

struct WarmForked {
  std::int32_t error = 0;  // an errno: nothing was forked. ESTALE: nor will be, the server ends
  std::int32_t pid = 0;    // the keeper's: a child of the controller, in the server's process group
};

/// Close-on-exec, and not 0 to 2. Throws Error.
[[nodiscard]] std::array<FileDescriptor, 2> make_warm_socket();
[[nodiscard]] bool is_warm_socket(int fd) noexcept;
/// The process that made the socket pair.
[[nodiscard]] pid_t maker_of(int socket) noexcept;

/// Never blocks. The error when it did not go out.
[[nodiscard]] boost::system::error_code send_packet(int socket, std::span<const std::byte> packet,
                                                    std::span<const int> descriptors = {}) noexcept;

/// One packet of exactly this size, within that time; ETIMEDOUT, or another error when none will come.
[[nodiscard]] boost::system::error_code receive_packet(int socket, std::span<std::byte> packet,
                                                       std::chrono::milliseconds patience) noexcept;

/// The server's side: a request is there, or the end. Fewer than three descriptors are open
/// when this process could not have more. Nothing at the end of the connection.
[[nodiscard]] std::optional<std::array<FileDescriptor, 3>> receive_request(int socket) noexcept;

}  // namespace gangway::detail
