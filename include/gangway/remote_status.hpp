// What an agent says of itself: the answer to Gateway::remote_status. A value.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gangway/value.hpp>

namespace gangway {

/// A task of remote_exec that has not ended.
struct TaskStatus {
  std::uint32_t channel = 0;
  std::string source;                   // its file, and " in " and the function that is called
  std::chrono::duration<double> age{};  // since the request arrived
  std::int64_t thread = 0;              // as the operating system numbers it, 0 before it runs
};

/// Bytes that wait in a channel on the far side.
struct QueuedBytes {
  std::uint64_t arrived = 0;  // and not taken by its user
  std::uint64_t to_send = 0;
};

/// An agent of another version may leave things out: they are 0 or empty then.
struct RemoteStatus {
  std::int64_t numchannels = 0;   // live channels
  std::int64_t numexecuting = 0;  // running tasks
  std::string execmodel;
  std::int64_t pid = 0;
  std::string agent;       // "native", "portable"
  std::string version;     // of the agent
  std::string python;      // "3.11.2"
  std::string executable;  // of the interpreter, from the handshake: what the search for it found
  std::chrono::duration<double> uptime{};
  std::optional<std::uint64_t> memory;          // resident bytes, where its system says
  std::vector<TaskStatus> tasks;                // the oldest first, at most 100
  std::map<std::uint32_t, QueuedBytes> queued;  // channels with bytes waiting, at most 100
  /// For how long the interpreter has not run Python code although the agent wanted it to:
  /// somebody holds the GIL. Only the native agent can tell; 0 otherwise.
  std::chrono::duration<double> unresponsive{};
  Dict details;  // the whole answer, and `executable`
};

}  // namespace gangway
