#include "tests/support/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace gangway::testing {

namespace {

constexpr std::array control_names = {
    "HELLO",       "TERMINATE",    "PING", "PONG",      "STATUS",      "STATUS_REPLY", "CREDIT",       "CLOSE",
    "CLOSE_ERROR", "LAST_MESSAGE", "OPEN", "INTERRUPT", "RECONFIGURE", "STACKS",       "STACKS_REPLY", "PART"};
constexpr std::array item_names = {"PICKLE", "BYTES", "STR", "INT", "EXEC"};
constexpr std::array part_names = {"middle", "begin", "end", "whole"};

bool has_number(ControlKind kind) {
  return kind == ControlKind::ping || kind == ControlKind::pong || kind == ControlKind::status ||
         kind == ControlKind::credit || kind == ControlKind::stacks;
}

}  // namespace

std::string Frame::describe() const {
  const std::string bytes = ", " + std::to_string(payload.size()) + " bytes";
  const std::string channel = header.channel == 0 ? "" : " " + std::to_string(header.channel);
  if (payload.size() != header.length) return "cut off" + channel + bytes;
  if (header.is_item()) {
    const unsigned tag = header.kind & 0x0fU;
    if (tag == 0 || tag > item_names.size()) return "item?" + channel + bytes;
    return std::string(item_names[tag - 1]) + " " + part_names[header.kind >> 4U & 3U] + channel + bytes;
  }
  if (header.control_kind() == ControlKind::need) return "NEED " + std::string(payload.view());
  const unsigned at = header.kind - 0x40U;
  if (at >= control_names.size()) return "control?" + channel + bytes;
  const std::string name = control_names[at] + channel;
  if (has_number(header.control_kind()) && payload.size() == 8)
    return name + " = " + std::to_string(detail::load_little<std::uint64_t>(payload.data()));
  return payload.empty() ? name : name + bytes;
}

std::vector<Frame> cut(std::span<const std::byte> stream) {
  std::vector<Frame> frames;
  while (stream.size() >= detail::frame_header_size) {
    const detail::FrameHeader header = detail::load_header(stream.data());
    stream = stream.subspan(detail::frame_header_size);
    const std::size_t size = std::min<std::size_t>(header.length, stream.size());
    frames.push_back({header, Bytes(stream.first(size))});
    stream = stream.subspan(size);
  }
  if (!stream.empty()) frames.push_back({{0, 0xffffff, 0}, Bytes(stream)});
  return frames;
}

std::vector<std::string> describe(std::span<const std::byte> stream) {
  std::vector<std::string> lines;
  for (const Frame& each : cut(stream)) lines.push_back(each.describe());
  return lines;
}

Bytes Machine::output(std::size_t most) {
  Bytes result;
  while (result.size() < most) {
    std::array<iovec, 16> room;
    std::size_t written = 0;
    for (const iovec& piece : machine.gather(room)) {
      const std::size_t size = std::min(piece.iov_len, most - result.size());
      result.append({static_cast<const std::byte*>(piece.iov_base), size});
      written += size;
      if (size < piece.iov_len) break;
    }
    if (written == 0) break;
    machine.written(written);
  }
  return result;
}

std::vector<Bytes> Machine::take_all(const Multiplexer::ChannelPtr& channel) {
  std::vector<Bytes> items;
  while (auto one = machine.take(*channel))
    items.push_back(one->kind == ItemKind::integer ? number(static_cast<std::uint64_t>(one->integer))
                                                   : std::move(one->payload));
  return items;
}

std::optional<std::string> Machine::on_hello(std::span<const std::byte> pickle) {
  events.push_back("hello " + std::to_string(pickle.size()));
  return hello_refused;
}
void Machine::on_open(const Multiplexer::ChannelPtr& channel) {
  events.push_back("open " + std::to_string(channel->id));
  if (claims) (void)machine.claim(channel->id);
}
void Machine::on_item(const Multiplexer::ChannelPtr& channel) {
  events.push_back("item " + std::to_string(channel->id));
}
void Machine::on_end(const Multiplexer::ChannelPtr& channel) { events.push_back("end " + std::to_string(channel->id)); }
void Machine::on_exec(const Multiplexer::ChannelPtr& channel, Bytes request) {
  events.push_back("exec " + std::to_string(channel->id) + " " + std::string(request.view()));
}
void Machine::on_interrupt(std::uint32_t channel) { events.push_back("interrupt " + std::to_string(channel)); }
void Machine::on_terminate() { events.emplace_back("terminate"); }
void Machine::on_pong(std::uint64_t cookie) { events.push_back("pong " + std::to_string(cookie)); }
void Machine::on_status(std::uint64_t request) {
  events.push_back("status " + std::to_string(request));
  machine.reply_status(request, status.span());
}
void Machine::on_status_reply(std::uint64_t request, std::span<const std::byte> pickle) {
  events.push_back("status_reply " + std::to_string(request) + " " + std::string(Bytes(pickle).view()));
}

void Machine::on_stacks(std::uint64_t request) { events.push_back("stacks " + std::to_string(request)); }
void Machine::on_stacks_reply(std::uint64_t request, std::string_view text) {
  events.push_back("stacks_reply " + std::to_string(request) + " " + std::string(text));
}
void Machine::on_part(std::string_view name, std::span<const std::byte> zlib) {
  events.push_back("part " + std::string(name) + " " + std::to_string(zlib.size()));
}
void Machine::on_need(std::string_view name) { events.push_back("need " + std::string(name)); }

void open_channels(Machine& at, const Ids& ids) {
  (void)at.machine.open();
  at.machine.close(at.machine.open());
  ASSERT_TRUE(at.feed(frame(ControlKind::open, ids.peer_closed) + frame(ControlKind::close, ids.peer_closed)));
  ASSERT_TRUE(at.feed(frame(ControlKind::open, ids.peer)));
  (void)at.output();
  at.events.clear();
}

void check_frames(const std::vector<FrameRow>& table) {
  for (const FrameRow& row : table) {
    SCOPED_TRACE(std::string(row.what) + (row.side == Side::controller ? ", to a controller" : ", to an agent"));
    // In one piece, byte by byte, and cut once at every place.
    for (std::size_t step : {row.frames.size(), std::size_t{1}, std::size_t{9}}) {
      Machine at(Machine::small(row.side));
      open_channels(at, ids_of(row.side));
      bool taken = true;
      for (std::span<const std::byte> rest = row.frames.span(); taken && !rest.empty();) {
        const auto piece = rest.first(std::min(step, rest.size()));
        taken = at.machine.feed(piece);
        rest = rest.subspan(piece.size());
      }
      EXPECT_EQ(taken, row.failure[0] == '\0') << at.machine.failure();
      EXPECT_THAT(at.machine.failure(), ::testing::HasSubstr(row.failure));
      if (taken) {
        EXPECT_EQ(at.machine.failure(), "");
        EXPECT_EQ(at.events, row.events);
        EXPECT_FALSE(at.machine.mid_frame());
      }
      at.machine.fail(errc::protocol_error);  // nothing is left that could not be ended
      EXPECT_EQ(at.machine.live(), 0U);
    }
  }
}

}  // namespace gangway::testing
