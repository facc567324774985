// The handshake, seen from the agent: the controller's HELLO is read before anything else,
// because it says with which settings the connection is to be made (spec-docs/wire.md, 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gangway/value.hpp>

#include "channels/multiplexer.hpp"
#include "channels/preamble.hpp"

namespace gangway::python {

/// Where what tasks print goes, and which of `stdout` and `stderr`.
struct OutputRequest {
  std::uint32_t channel = 0;
  std::vector<std::string> streams;
};

struct Hello {
  detail::Nonce nonce{};
  std::string id;
  std::string execmodel;
  std::uint64_t peer_max_item = 0;
  bool peer_arrays = false;
  detail::Multiplexer::Settings settings;
  int debug = 0;
  std::optional<OutputRequest> output;
  std::optional<std::string> chdir;
  std::optional<std::int64_t> nice;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<std::string> sys_path;   // file names, in bytes; empty: as it is
  std::optional<std::string> refused;  // why this agent cannot serve
};

/// Blocks until the whole frame is here. `received` gets what was read: the frame, and
/// perhaps more. Throws Error when something else than HELLO arrives.
[[nodiscard]] Hello read_hello(int fd, Bytes& received);

/// chdir and nice; why they failed, as Python would say it.
[[nodiscard]] std::optional<std::string> settle(const Hello& hello);

/// Our HELLO.
[[nodiscard]] Value make_answer(const Hello& hello, const std::string& python_version, const std::string& executable);

}  // namespace gangway::python
