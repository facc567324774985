// Tracing for those who look for a fault: GANGWAY_DEBUG=2 writes to stderr, any other
// value to gangway-debug-PID in the temporary directory. EXECNET_DEBUG counts when
// GANGWAY_DEBUG is not set; the file is execnet-debug-PID then. Read once at start; configure() reads again.
//
// Any thread may trace. Nothing here throws, raises a signal or waits longer than a few
// milliseconds for its sink: a line that cannot be written is dropped and counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>

namespace gangway::trace {

namespace detail {
inline constinit std::atomic<bool> enabled{false};
}

/// Costs one relaxed load.
[[nodiscard]] inline bool on() noexcept { return detail::enabled.load(std::memory_order_relaxed); }

/// Writes "[PID] text\n" by one write(2), at most 4,096 bytes of it; control characters are
/// escaped, newlines too. Does nothing when tracing is off.
void line(std::string_view text) noexcept;

/// trace::log("channel ", id, " closed"): formatted only when tracing is on.
template <typename... Parts>
void log(const Parts&... parts) noexcept {
  if (!on()) return;
  try {
    std::ostringstream text;
    (text << ... << parts);
    line(std::move(text).str());
  } catch (...) {
    line("(a trace line could not be formatted)");
  }
}

/// 0 off, 1 file, 2 stderr: the `debug` of HELLO.
[[nodiscard]] int level() noexcept;
void set_level(int level) noexcept;
/// From the environment, as at the start.
void configure() noexcept;

/// The file of this process, whether it exists already or not; "" unless level() is 1.
[[nodiscard]] std::string file_name();
/// How many lines could not be written.
[[nodiscard]] std::uint64_t dropped() noexcept;

}  // namespace gangway::trace
