// Every limit that protects one side from the other, with its reason. None of them can be
// raised by the peer. Sizes are in bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace gangway::limits {

// One buffer, and fair turns: 64 KiB take 20 us on a pipe, 10 ms on a 50 Mbit/s link.
inline constexpr std::size_t frame_sent = 64 * 1024;
// OpenSSH accepts the same; a peer may be of another opinion about fairness.
inline constexpr std::size_t frame_accepted = 256 * 1024;

// execnet's bound, so that a drop-in user notices nothing. `max_item=` in the spec.
inline constexpr std::uint64_t item = std::uint64_t{2} << 30;
// Every decoder and encoder here is iterative; 1,000 is what Python's own recursion allows.
inline constexpr std::size_t nesting_depth = 1'000;
// Two's complement: CPython's 4,300 digit limit for text does not apply.
inline constexpr std::size_t int_bytes = 1024 * 1024;
// Of an array: numpy's own limit up to its version 1.
inline constexpr std::size_t array_dimensions = 32;
// Texts of a stream that are repeated by number: one byte says which, and what it makes of
// its two is no more than what an empty container makes of one.
inline constexpr std::size_t memo_texts = 256;
inline constexpr std::size_t memo_text_bytes = 64;

// OpenSSH has 2 MiB; programs written against execnet's unbounded queues need room.
inline constexpr std::uint64_t window = 16 * 1024 * 1024;
// Below this a sender could not even begin an item (wire.md, section 5).
inline constexpr std::uint64_t window_least = 1024;
// What an item costs beside its payload: an empty one still takes memory.
inline constexpr std::uint64_t item_cost = 32;

inline constexpr std::size_t live_channels = 16'384;  // about 200 bytes each when idle
inline constexpr std::size_t peer_channels = 1'024;   // these allocate on our side

// A peer that asks and never reads: pings, closes and credits pile up here.
inline constexpr std::size_t control_frames_queued = 4'096;

inline constexpr std::size_t noise = 64 * 1024;        // banners and rc files before the marker
inline constexpr std::size_t stderr_tail = 32 * 1024;  // Mutagen's number
// What tasks printed and this process's own stdout or stderr, or its callback, has not taken:
// beyond it the tasks wait. The last words of a process that has ended cannot wait.
inline constexpr std::size_t output_held = 256 * 1024;
inline constexpr std::size_t last_output_held = 4 * 1024 * 1024;
inline constexpr std::size_t error_text = 64 * 1024;  // a traceback; fits one frame
inline constexpr std::size_t stacks_text = 65'000;    // of all threads; fits one frame
inline constexpr std::size_t part_name = 255;         // its length is one byte of PART

// A configuration or known_hosts file that is larger is a mistake, or a device.
inline constexpr std::size_t ssh_file = 4 * 1024 * 1024;
inline constexpr int ssh_jumps = 8;  // a chain that is longer leads to itself
// So many packets may an ssh server be answered that it does not read.
inline constexpr std::uint64_t ssh_unread_answers = 1000;
// A connection without gateways waits so long for the next one: a login costs 100 to 200 ms.
inline constexpr std::chrono::seconds ssh_idle{3};

// Gateways of one group that start at the same time; more only makes each one slower.
inline constexpr std::size_t parallel_starts = 16;

inline constexpr std::chrono::seconds bootstrap_time{30};

// Socket server: what somebody gets who has not shown yet that he may be here. A handshake needs
// 1 KiB and a few milliseconds; the line before the first frame less.
inline constexpr std::size_t greeting_slots = 16;
inline constexpr std::chrono::seconds greeting_time{5};
inline constexpr std::size_t greeting_line = 512;
inline constexpr std::size_t greeting_bytes = 512;
// Wrong secrets of one address are tried at this rate, whatever their number.
inline constexpr std::chrono::seconds between_failures{1};
// Below it a secret could be guessed from a recorded handshake.
inline constexpr std::size_t secret_least = 16;
inline constexpr std::size_t secret_most = 4096;
// Agents of a server at a time, unless it is told otherwise.
inline constexpr std::size_t server_connections = 64;
// How agents have ended is kept for the clients that ask, which they do at once: 2 MiB at most.
inline constexpr std::size_t deaths_kept = 64;
inline constexpr std::chrono::seconds death_kept{10};
// A connection ends with the agent's keeper, or a little before it: so long the question waits for that.
inline constexpr std::chrono::seconds death_awaited{1};
// And so long the client waits for the answer: five round trips of a long way, each 280 ms.
inline constexpr std::chrono::milliseconds death_asked{1'400};

// A link on which nothing came for so many intervals of keepalive= is dead: 45 s.
inline constexpr int silent_intervals = 3;
// How often a connection is asked whether its agent still answers, and after which time of
// silence it is reported as unresponsive.
inline constexpr std::chrono::seconds ping_interval{15};
inline constexpr std::chrono::seconds unresponsive_after{45};

// OpenSSH's shared connection that no gateway uses any more: so long it stays after its program
// was killed. Less than the 10 s after which nothing may be left.
inline constexpr std::chrono::seconds ssh_master_idle{5};

// Group::terminate: from asking to TERM, from TERM to KILL, and how long a KILL may take
// before the process is reported as a survivor.
inline constexpr std::chrono::milliseconds term_grace{300};
inline constexpr std::chrono::milliseconds kill_grace{1'000};

}  // namespace gangway::limits
