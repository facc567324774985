// A peer's bytes to a multiplexer of either side, in pieces that the input decides, while
// the user takes items, closes channels and sends.
//
// Input: a byte of settings, a byte that seeds the pieces and the user, the peer's stream.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <random>
#include <span>

#include <gangway/error.hpp>

#include "channels/multiplexer.hpp"

namespace {

using namespace gangway;
using namespace gangway::detail;

constexpr std::uint64_t max_item = 64 * 1024;
constexpr std::size_t peer_channels = 16;
constexpr int own_channels = 4;

void require(bool condition) {
  if (!condition) std::abort();
}

class Events final : public Multiplexer::Events {
 public:
  std::optional<std::string> on_hello(std::span<const std::byte>) override { return {}; }
  void on_item(const Multiplexer::ChannelPtr& channel) override { require(!channel->arrived.empty()); }
  void on_end(const Multiplexer::ChannelPtr& channel) override { require(!channel->receivable || !channel->sendable); }
  void on_exec(const Multiplexer::ChannelPtr& channel, Bytes) override { require(channel->execs); }
  void on_status(std::uint64_t number) override { machine->reply_status(number, {}); }
  Multiplexer* machine = nullptr;
};

class Send final : public OutItem {
 public:
  Send(ItemKind item_kind, std::size_t size) : OutItem(item_kind, {}), bytes_(size) { payload = bytes_; }
  void finished(boost::system::error_code) override {
    require(!over);
    over = true;
  }
  bool over = false;

 private:
  std::vector<std::byte> bytes_;
};

void check_memory(const Multiplexer& machine, std::uint64_t window) {
  require(machine.live() <= own_channels + peer_channels);
  require(machine.queued() <= 1024 * 1024);
  for (const auto& channel : machine.channels()) {
    std::uint64_t waiting = 0;
    for (InItem& item : channel->arrived) waiting += item.payload.size() + limits::item_cost;
    // What was granted while it arrived counts as the item that is assembled.
    if (window != 0) require(waiting <= window + max_item + limits::item_cost);
    if (window != 0) require(channel->allowance <= window && channel->credit <= window);
    if (channel->assembly) {
      require(channel->assembly->payload.size() <= max_item);
      require(channel->assembly->payload.capacity() <= 2 * max_item);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr std::uint64_t windows[] = {1024, 4096, 65'536, 0};
  Multiplexer::Settings settings;
  settings.side = (data[0] & 1) != 0 ? Side::agent : Side::controller;
  settings.window = windows[data[0] >> 1 & 3];
  settings.max_item = max_item;
  settings.peer_channels = peer_channels;
  const bool greet = (data[0] & 8) != 0;
  const bool small_pieces = (data[0] & 16) != 0;
  std::minstd_rand random(data[1]);
  auto stream = std::as_bytes(std::span(data + 2, size - 2));

  Events events;
  Multiplexer machine(settings, events);
  events.machine = &machine;
  std::list<Send> sends;
  bool taken = true;
  if (greet) {
    constexpr std::array<std::byte, frame_header_size> hello{static_cast<std::byte>(ControlKind::hello)};
    taken = machine.feed(hello);
  }
  for (int i = 0; i < own_channels; ++i) {
    const auto channel = machine.open();
    machine.send(channel, sends.emplace_back(ItemKind::bytes, 3000));
  }
  while (taken && !stream.empty()) {
    const auto piece = stream.first(std::min<std::size_t>(stream.size(), 1 + random() % (small_pieces ? 8 : 5000)));
    stream = stream.subspan(piece.size());
    taken = machine.feed(piece);
    check_memory(machine, settings.window);
    const auto channels = machine.channels();
    if (channels.empty()) continue;
    const auto& channel = channels[random() % channels.size()];
    switch (random() % 8) {
      case 0:
      case 1: (void)machine.take(*channel); break;
      case 2:
        if (random() % 8 == 0) machine.close(channel, "why");
        break;
      case 3: machine.send(channel, sends.emplace_back(ItemKind::bytes, random() % 6000)); break;
      case 4: (void)machine.send_now(*channel, ItemKind::integer, std::as_bytes(std::span("1234567", 8))); break;
      case 5:
        if (random() % 8 == 0) machine.last_message(*channel);
        break;
      case 6: (void)machine.claim(static_cast<std::uint32_t>(random() % 40)); break;
      default: {
        std::array<iovec, 4> room;
        std::size_t written = 0;
        for (const iovec& each : machine.gather(room)) written += each.iov_len;
        machine.written(written == 0 ? 0 : random() % written + 1);
      }
    }
  }
  require(taken == machine.failure().empty());
  machine.fail(taken ? errc::connection_lost : errc::protocol_error);
  require(machine.live() == 0 && !machine.has_output());
  for (const Send& send : sends) require(send.over);
  return 0;
}
