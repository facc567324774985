// The wire protocol after the marker as a state machine: frames in, events out; requests
// in, bytes out (spec-docs/wire.md). It does no I/O, takes no locks and knows no threads;
// tests drive it by hand.
//
// multiplexer.cpp has the channels, multiplexer_items.cpp what comes in for them,
// multiplexer_sends.cpp what goes out, multiplexer_control.cpp the control frames of both ways.
//
// A peer that breaks the protocol stops it: received() returns false and failure() says
// what was wrong. What arrives from the peer can make it allocate no more than the
// windows of the live channels, one frame, and an item as its bytes arrive.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <gangway/limits.hpp>

#include "channels/channel_state.hpp"
#include "channels/write_pace.hpp"
#include "channels/write_queue.hpp"
#include "core/frame_parser.hpp"

namespace gangway::detail {

enum class Side { controller, agent };

class Multiplexer final : private FrameParser::Sink {
 public:
  struct Settings {
    Side side = Side::controller;
    std::uint64_t window = limits::window;  // 0: no flow control
    std::uint64_t max_item = limits::item;
    std::size_t own_channels = limits::live_channels;   // how many this side may have open of its own
    std::size_t peer_channels = limits::peer_channels;  // and the peer of its own
  };

  using ChannelPtr = std::shared_ptr<ChannelState>;

  /// What happens. Called from within received(), close(), fail() and written(); a handler
  /// may call back, except for received(), written() and fail().
  class Events {
   public:
    /// The peer's HELLO. A text returned is a reason to fail.
    [[nodiscard]] virtual std::optional<std::string> on_hello(std::span<const std::byte> pickle) = 0;
    virtual void on_open(const ChannelPtr&) {}
    virtual void on_item(const ChannelPtr&) = 0;  // one more has arrived
    virtual void on_end(const ChannelPtr&) = 0;   // nothing more will arrive, or it was closed
    virtual void on_exec(const ChannelPtr&, Bytes) {}
    /// By id: the task may outlive its channel, which this side or the peer has closed.
    virtual void on_interrupt(std::uint32_t) {}
    virtual void on_terminate() {}
    virtual void on_pong(std::uint64_t) {}
    virtual void on_status(std::uint64_t) {}
    virtual void on_status_reply(std::uint64_t, std::span<const std::byte>) {}
    virtual void on_stacks(std::uint64_t) {}
    virtual void on_stacks_reply(std::uint64_t, std::string_view) {}
    virtual void on_part(std::string_view, std::span<const std::byte>) {}
    virtual void on_need(std::string_view) {}

   protected:
    ~Events() = default;
  };

  Multiplexer(const Settings& settings, Events& events);

  // --- bytes

  [[nodiscard]] std::span<const iovec> prepare() { return parser_.prepare(); }
  [[nodiscard]] bool received(std::size_t size);
  [[nodiscard]] bool feed(std::span<const std::byte> bytes);
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  [[nodiscard]] bool mid_frame() const noexcept { return parser_.mid_frame(); }

  /// The next bytes for the wire. Takes from the waiting sends as much as belongs there now.
  [[nodiscard]] std::span<const iovec> gather(std::span<iovec> pieces);
  void written(std::size_t size) { queue_.consume(size); }
  [[nodiscard]] bool has_output() const noexcept { return !queue_.empty() || has_control() || !turns_.empty(); }
  /// Control frames are waiting.
  [[nodiscard]] bool has_control() const noexcept { return !control_.empty() || !credit_due_.empty(); }
  [[nodiscard]] std::size_t queued() const noexcept { return queue_.size() + control_.size(); }
  /// So many bytes of items are in frames ahead of the wire, where they stand before the next control frame: about as
  /// much as one write takes, and one small item. No other frame of an item is longer.
  void limit_ahead(std::size_t size) noexcept { ahead_ = size; }

  // --- channels

  /// Throws Error (too_many_channels).
  [[nodiscard]] ChannelPtr open();
  [[nodiscard]] ChannelPtr find(std::uint32_t id) const {
    const auto found = channels_.find(id);
    return found == channels_.end() ? nullptr : found->second;
  }
  /// The channel that an item refers to, closed or not; none if there never was one.
  [[nodiscard]] ChannelPtr claim(std::uint32_t id);
  [[nodiscard]] std::size_t live() const noexcept { return channels_.size(); }
  [[nodiscard]] std::vector<ChannelPtr> channels() const;

  /// Copies a small item to the wire's queue; false when it must wait or is large.
  [[nodiscard]] bool send_now(ChannelState& channel, ItemKind kind, std::span<const std::byte> payload);
  /// Nothing waits on the channel, and its credit covers an item of so many bytes.
  [[nodiscard]] bool has_room(ChannelState& channel, std::size_t payload) const noexcept;
  /// The item waits for its turn, and tells when it is through by finished().
  void send(const ChannelPtr& channel, OutItem& item);
  /// Takes a send back. False if part of it has gone out: the rest must follow, and the
  /// item stays where it is.
  [[nodiscard]] bool withdraw(ChannelState& channel, OutItem& item);

  /// The first item that waits; grants its cost to the sender.
  [[nodiscard]] std::optional<InItem> take(ChannelState& channel);

  /// Ends a channel for both directions. Sends that are not all written fail; their frames that
  /// have begun go out. Idempotent. What of the error text is not UTF-8 becomes question marks.
  /// When memory runs out, nothing has happened.
  void close(const ChannelPtr& channel, std::optional<std::string_view> error = {});
  /// Nothing more is sent on the channel, beyond what waits already.
  void last_message(ChannelState& channel);
  void interrupt(ChannelState& channel) { control(ControlKind::interrupt, channel.id); }

  /// How items that arrive from now on are decoded, here and at the peer.
  void reconfigure(ChannelState& channel, StringOptions options);

  // --- the connection

  /// Bytes that go out before the first frame.
  void preface(std::span<const std::byte> bytes) { queue_.append(bytes); }
  void hello(std::span<const std::byte> pickle);
  void ping(std::uint64_t cookie);
  void request_status(std::uint64_t number);
  void reply_status(std::uint64_t number, std::span<const std::byte> pickle);
  void request_stacks(std::uint64_t number);
  /// A longer text is cut off; what is not UTF-8 becomes question marks.
  void reply_stacks(std::uint64_t number, std::string_view text);
  /// At most limits::frame_sent bytes in all.
  void part(std::string_view name, std::span<const std::byte> zlib);
  void need(std::string_view name);
  /// The same as reconfigure() for all channels that are opened later. The controller's.
  void reconfigure_later_channels(StringOptions options);
  void terminate() { control(ControlKind::terminate, 0); }

  /// The connection is over: sends fail with `error`, channels receive nothing more.
  void fail(boost::system::error_code error);

 private:
  bool on_frame(const FrameHeader& header, std::span<const std::byte> part) override;
  bool on_payload(std::span<const std::byte> part) override;
  std::span<std::byte> destination(std::size_t length) override;

  [[nodiscard]] bool broken(std::string text);
  [[nodiscard]] bool on_item_frame(const FrameHeader& header, std::span<const std::byte> part);
  [[nodiscard]] bool begin_item(const FrameHeader& header, std::span<const std::byte>& part);
  [[nodiscard]] bool end_of_item_frame();
  [[nodiscard]] bool deliver(const ChannelPtr& channel, InItem item);
  [[nodiscard]] bool on_control(const FrameHeader& header, std::span<const std::byte> payload);
  [[nodiscard]] bool on_connection_frame(ControlKind kind, std::span<const std::byte> payload);
  [[nodiscard]] bool on_stacks_reply_frame(std::span<const std::byte> payload);
  [[nodiscard]] bool on_part_frame(std::span<const std::byte> payload);
  [[nodiscard]] bool on_reconfigure_frame(std::uint32_t id, std::span<const std::byte> payload);
  [[nodiscard]] bool on_interrupt_frame(std::uint32_t id, std::span<const std::byte> payload);
  [[nodiscard]] bool on_channel_frame(ControlKind kind, const ChannelPtr& channel, std::span<const std::byte> payload);
  [[nodiscard]] bool on_open_frame(std::uint32_t id);
  [[nodiscard]] bool on_credit(const ChannelPtr& channel, std::uint64_t credit);
  [[nodiscard]] bool lookup(std::uint32_t id, ChannelPtr& channel);

  [[nodiscard]] bool own(std::uint32_t id) const noexcept {
    return (id % 2 == 1) == (settings_.side == Side::controller);
  }
  [[nodiscard]] bool was_open(std::uint32_t id) const noexcept {
    return id != 0 && (own(id) ? id < next_own_ : id <= last_peer_);
  }
  [[nodiscard]] bool hold_unclaimed(ChannelState& channel, std::uint64_t cost) noexcept;
  void release_unclaimed(ChannelState& channel) noexcept;
  void add(const ChannelPtr& channel);
  /// What becomes of those that are in frames, all of them, and not yet written.
  enum class Sends { fail, keep };
  void forget(const ChannelPtr& channel, Sends sends);
  void close_at_end(const ChannelPtr& channel);
  void fail_sends(ChannelState& channel, boost::system::error_code error);

  void grant(ChannelState& channel);
  void grant_assembly(ChannelState& channel);
  void send_due_last_message(ChannelState& channel);
  void take_turn(const ChannelPtr& channel);
  void pump();
  [[nodiscard]] bool cut_frame(ChannelState& channel);

  void pump_control();
  void control(ControlKind kind, std::uint32_t channel, std::span<const std::byte> payload = {});
  void control_number(ControlKind kind, std::uint64_t number, std::span<const std::byte> rest = {});
  [[nodiscard]] bool may_reply();

  const Settings settings_;
  Events& events_;
  FrameParser parser_;
  std::string failure_;

  std::unordered_map<std::uint32_t, ChannelPtr> channels_;
  // Closed by the peer, and not yet referred to.
  std::map<std::uint32_t, ChannelPtr> unclaimed_;
  std::unordered_map<std::uint32_t, ChannelPtr> ended_;  // those that were live at fail(): items may refer to them
  std::uint64_t unclaimed_cost_ = 0;                     // what has arrived on channels that nobody has claimed
  std::uint32_t next_own_;
  std::uint32_t last_peer_ = 0;
  std::size_t own_open_ = 0;
  std::size_t peer_open_ = 0;
  Strings strings_{};  // of channels to be opened
  bool hello_seen_ = false;
  bool over_ = false;

  // The frame whose payload is still arriving.
  FrameHeader current_{};
  std::size_t current_missing_ = 0;
  ChannelPtr current_channel_;  // an item frame's; none: its payload is dropped
  Bytes current_control_;

  std::size_t ahead_ = WritePace::most;
  WriteQueue queue_;                // cut into frames, in the order of the wire
  std::vector<std::byte> control_;  // control frames, ahead of all items that are not in queue_
  // Channels with credit for their sender. One CREDIT frame each, however long it takes until
  // the peer reads: as many as there are channels, not as many as the peer can provoke.
  std::vector<std::uint32_t> credit_due_;
  std::size_t replies_queued_ = 0;
  std::deque<ChannelPtr> turns_;  // channels that have something to send and credit for it
};

}  // namespace gangway::detail
