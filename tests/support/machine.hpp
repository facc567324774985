// Multiplexers driven by hand: frames made of parts, what happens recorded as lines of
// text, what goes out collected and described.
//
//   Machine agent(Side::agent);
//   agent.feed(frame(ControlKind::open, 1));
//   EXPECT_THAT(agent.events, ElementsAre("open 1"));
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "channels/multiplexer.hpp"

namespace gangway::testing {

using detail::ControlKind;
using detail::ItemKind;
using detail::Multiplexer;
using detail::Side;

[[nodiscard]] inline Bytes bytes_of(std::string_view text) { return Bytes(text); }

[[nodiscard]] inline Bytes number(std::uint64_t value) {
  std::array<std::byte, sizeof value> raw;
  detail::store_little(raw.data(), value);
  return Bytes(std::span<const std::byte>(raw));
}

[[nodiscard]] inline Bytes operator+(Bytes a, const Bytes& b) {
  a.append(b.span());
  return a;
}

/// `size` bytes that differ from place to place and from seed to seed.
[[nodiscard]] inline Bytes pattern(std::size_t size, std::size_t seed = 0) {
  Bytes result;
  result.resize_uninitialized(size);
  for (std::size_t i = 0; i < size; ++i)
    result[i] = static_cast<std::byte>((i * 131 + (i >> 8) * 7 + seed * 29) & 0xff);
  return result;
}

[[nodiscard]] inline Bytes header(std::uint8_t kind, std::uint32_t length, std::uint32_t channel) {
  std::array<std::byte, detail::frame_header_size> raw;
  detail::store_header(raw.data(), {kind, length, channel});
  return Bytes(std::span<const std::byte>(raw));
}

[[nodiscard]] inline Bytes frame(std::uint8_t kind, std::uint32_t channel, const Bytes& payload = {}) {
  return header(kind, static_cast<std::uint32_t>(payload.size()), channel) + payload;
}
[[nodiscard]] inline Bytes frame(ControlKind kind, std::uint32_t channel = 0, const Bytes& payload = {}) {
  return frame(static_cast<std::uint8_t>(kind), channel, payload);
}

enum class Part : std::uint8_t {
  middle = 0,
  begin = detail::frame_begin,
  end = detail::frame_end,
  whole = detail::frame_whole
};

[[nodiscard]] inline Bytes item(ItemKind kind, std::uint32_t channel, const Bytes& payload, Part part = Part::whole) {
  return frame(static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) | static_cast<std::uint8_t>(part)), channel,
               payload);
}
/// The first frame of a fragmented item.
[[nodiscard]] inline Bytes begin(ItemKind kind, std::uint32_t channel, std::uint64_t total, const Bytes& first) {
  return item(kind, channel, number(total) + first, Part::begin);
}

struct Frame {
  detail::FrameHeader header;
  Bytes payload;
  [[nodiscard]] std::string describe() const;
};

/// Cuts a stream at its frames; what is left over makes a last one that is too short.
[[nodiscard]] std::vector<Frame> cut(std::span<const std::byte> stream);
/// "OPEN 1", "CREDIT 1 = 256", "BYTES begin 1, 1024 bytes", "CLOSE_ERROR 1, 4 bytes".
[[nodiscard]] std::vector<std::string> describe(std::span<const std::byte> stream);

/// A send that records how it ended.
class Send final : public detail::OutItem {
 public:
  Send(ItemKind item_kind, Bytes bytes) : OutItem(item_kind, {}), bytes_(std::move(bytes)) { payload = bytes_.span(); }
  void finished(boost::system::error_code error) override {
    result = error;
    ++times;
  }
  std::optional<boost::system::error_code> result;
  int times = 0;

 private:
  Bytes bytes_;
};

/// A machine after its peer's HELLO, unless told otherwise.
class Machine final : public Multiplexer::Events {
 public:
  using Settings = Multiplexer::Settings;
  enum class Start { greeted, fresh };

  explicit Machine(Settings settings, Start start = Start::greeted) : machine(settings, *this) {
    if (start == Start::fresh) return;
    (void)feed(frame(ControlKind::hello));
    events.clear();
  }
  explicit Machine(Side side, std::uint64_t window = 1024) : Machine(settings_of(side, window)) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] static Settings settings_of(Side side, std::uint64_t window) {
    Settings settings;
    settings.side = side;
    settings.window = window;
    return settings;
  }

  static constexpr std::uint64_t small_window = 2048;
  /// With limits that a test can reach.
  [[nodiscard]] static Settings small(Side side) {
    Settings settings = settings_of(side, small_window);
    settings.max_item = 4096;
    settings.own_channels = 4;
    settings.peer_channels = 3;
    return settings;
  }

  bool feed(const Bytes& bytes) { return machine.feed(bytes.span()); }
  /// What goes out now, at most so many bytes.
  [[nodiscard]] Bytes output(std::size_t most = ~std::size_t{0});
  [[nodiscard]] std::vector<std::string> frames() { return describe(output().span()); }
  /// The payloads that wait on a channel, taken.
  [[nodiscard]] std::vector<Bytes> take_all(const Multiplexer::ChannelPtr& channel);

  std::vector<std::string> events;
  std::optional<std::string> hello_refused;
  bool claims = true;                // somebody here gets what the peer opens
  Bytes status = bytes_of("reply");  // how STATUS is answered
  Multiplexer machine;

 private:
  std::optional<std::string> on_hello(std::span<const std::byte> pickle) override;
  void on_open(const Multiplexer::ChannelPtr& channel) override;
  void on_item(const Multiplexer::ChannelPtr& channel) override;
  void on_end(const Multiplexer::ChannelPtr& channel) override;
  void on_exec(const Multiplexer::ChannelPtr& channel, Bytes request) override;
  void on_interrupt(std::uint32_t channel) override;
  void on_terminate() override;
  void on_pong(std::uint64_t cookie) override;
  void on_status(std::uint64_t request) override;
  void on_status_reply(std::uint64_t request, std::span<const std::byte> pickle) override;
  void on_stacks(std::uint64_t request) override;
  void on_stacks_reply(std::uint64_t request, std::string_view text) override;
  void on_part(std::string_view name, std::span<const std::byte> zlib) override;
  void on_need(std::string_view name) override;
};

/// Channels of a machine, by its side: its own that are open, closed and never opened, and the
/// peer's.
struct Ids {
  std::uint32_t own, own_closed, own_never, peer, peer_closed, peer_never;
};
[[nodiscard]] constexpr Ids ids_of(Side side) {
  return side == Side::controller ? Ids{1, 3, 5, 4, 2, 6} : Ids{2, 4, 6, 3, 1, 5};
}
void open_channels(Machine& at, const Ids& ids);

/// What becomes of frames.
struct FrameRow {
  const char* what;
  Side side;
  Bytes frames;
  const char* failure;              // part of it; "": they are taken
  std::vector<std::string> events;  // checked when they are taken
};
/// Each by a small machine with those channels: in one piece, in pieces and byte by byte.
void check_frames(const std::vector<FrameRow>& table);

}  // namespace gangway::testing
