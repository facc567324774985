// An agent of the server: its keeper as a child of this process, and its stderr on the way to ours.
//
// Leading thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <memory>
#include <optional>

#include <gangway/death_record.hpp>

#include "core/file_descriptor.hpp"
#include "core/process.hpp"
#include "gateways/stderr_pump.hpp"

namespace gangway::detail {

struct ServedAgent {
  /// `errors`: what the agent writes there. Throws Error when the system cannot watch it.
  ServedAgent(boost::asio::io_context& io, FileDescriptor errors);
  ~ServedAgent() { stderr_pump->close(); }
  ServedAgent(const ServedAgent&) = delete;
  ServedAgent& operator=(const ServedAgent&) = delete;

  /// Once it was reaped.
  [[nodiscard]] DeathRecord death();

  ChildProcess child;
  boost::asio::posix::stream_descriptor exited;  // a copy of its pidfd
  const std::shared_ptr<StderrPump> stderr_pump;
  const std::optional<std::uint64_t> oom_kills_before;
};

}  // namespace gangway::detail
