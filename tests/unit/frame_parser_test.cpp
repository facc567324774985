// Rows D2 and D3: lengths, and streams that are cut anywhere.
#include "core/frame_parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

using detail::FrameHeader;
using detail::FrameParser;
using ::testing::HasSubstr;

/// Puts the frames together again; wants item frames read straight to their place.
class Frames final : public FrameParser::Sink {
 public:
  explicit Frames(bool direct) : direct_(direct) {}
  bool on_frame(const FrameHeader& header, std::span<const std::byte> part) override {
    if (header.is_item() && header.begins() && !header.ends() && header.length >= 8) {
      EXPECT_GE(part.size(), 8U);
    }
    EXPECT_LE(part.size(), header.length);
    frames.push_back({header, Bytes(part)});
    return frames.size() < stop_at;
  }
  bool on_payload(std::span<const std::byte> part) override {
    EXPECT_FALSE(part.empty());
    frames.back().payload.append(part);
    return true;
  }
  std::span<std::byte> destination(std::size_t length) override {
    asked = true;
    if (!direct_ || !frames.back().header.is_item()) return {};
    buffer_.resize(length);
    return buffer_;
  }

  std::vector<Frame> frames;
  std::size_t stop_at = ~std::size_t{0};
  bool asked = false;

 private:
  const bool direct_;
  std::vector<std::byte> buffer_;
};

Bytes joined(const std::vector<Frame>& frames) {
  Bytes all;
  for (const Frame& each : frames)
    all = all + header(each.header.kind, each.header.length, each.header.channel) + each.payload;
  return all;
}

/// As a connection does: reads of at most `step` bytes into what prepare() gave.
bool read(FrameParser& parser, std::span<const std::byte> stream, std::size_t step) {
  while (!stream.empty()) {
    std::size_t size = 0;
    for (const iovec& buffer : parser.prepare()) {
      const std::size_t part = std::min({buffer.iov_len, stream.size(), step - size});
      std::memcpy(buffer.iov_base, stream.data(), part);
      stream = stream.subspan(part);
      size += part;
      if (part < buffer.iov_len) break;
    }
    if (!parser.commit(size)) return false;
  }
  return true;
}

const Bytes ten_frames =
    frame(ControlKind::hello, 0, pattern(300)) + frame(ControlKind::open, 1) + item(ItemKind::integer, 1, number(5)) +
    item(ItemKind::bytes, 1, {}) + begin(ItemKind::bytes, 1, 1000, pattern(500)) +
    item(ItemKind::bytes, 1, pattern(1), Part::middle) + frame(ControlKind::ping, 0, number(1)) +
    item(ItemKind::bytes, 1, pattern(499), Part::end) + frame(0x90, 7, pattern(40)) + frame(ControlKind::close, 1);

TEST(FrameParser, the_same_frames_however_the_stream_is_cut) {
  for (const bool direct : {false, true}) {
    for (std::size_t step = 1; step <= ten_frames.size(); ++step) {
      Frames sink(direct);
      FrameParser parser(sink);
      ASSERT_TRUE(read(parser, ten_frames.span(), step));
      ASSERT_EQ(joined(sink.frames), ten_frames) << "by " << step;
      ASSERT_EQ(sink.frames.size(), 10U);
      EXPECT_FALSE(parser.mid_frame());
    }
  }
}

TEST(FrameParser, the_same_frames_when_it_is_cut_once_anywhere) {
  for (std::size_t at = 0; at <= ten_frames.size(); ++at) {
    Frames sink(true);
    FrameParser parser(sink);
    ASSERT_TRUE(parser.feed(ten_frames.span().first(at)));
    ASSERT_TRUE(parser.feed(ten_frames.span().subspan(at)));
    ASSERT_EQ(joined(sink.frames), ten_frames) << "at " << at;
  }
}

TEST(FrameParser, large_frames_come_through_in_random_pieces) {
  std::mt19937 random(3);
  for (int round = 0; round < 30; ++round) {
    Bytes stream;
    for (int i = 0; i < 12; ++i) {
      const std::size_t size = random() % 4 == 0 ? limits::frame_accepted - random() % 10 : random() % 70'000;
      stream = stream + item(ItemKind::bytes, 1, pattern(size, static_cast<std::size_t>(i)));
    }
    Frames sink(round % 2 == 0);
    FrameParser parser(sink);
    for (std::span<const std::byte> rest = stream.span(); !rest.empty();) {
      const std::size_t size = std::min<std::size_t>(rest.size(), 1 + random() % 150'000);
      ASSERT_TRUE(read(parser, rest.first(size), random() % 2 == 0 ? 1 + random() % 5000 : ~std::size_t{0}));
      rest = rest.subspan(size);
    }
    ASSERT_EQ(joined(sink.frames), stream);
  }
}

TEST(FrameParser, knows_whether_it_is_inside_a_frame) {
  const Bytes stream = item(ItemKind::bytes, 1, pattern(3));
  for (std::size_t size = 0; size <= stream.size(); ++size) {
    Frames sink(false);
    FrameParser parser(sink);
    ASSERT_TRUE(parser.feed(stream.span().first(size)));
    EXPECT_EQ(parser.mid_frame(), size != 0 && size != stream.size()) << size;
  }
}

TEST(FrameParser, a_length_at_the_limit_passes_and_one_above_is_refused_before_anything_is_allocated) {
  constexpr std::uint32_t most = limits::frame_accepted;
  for (const std::uint32_t length : {0U, 1U, most - 1, most}) {
    Frames sink(false);
    FrameParser parser(sink);
    EXPECT_TRUE(parser.feed(header(0x32, length, 1).span())) << length;
    EXPECT_EQ(sink.frames.size(), 1U);
  }
  // 24 bits with the sign bit set, all of them set, one too many.
  for (const std::uint32_t length : {most + 1, most * 2, 0x7fffffU, 0x800000U, 0xffffffU}) {
    for (const int kind : {0x32, 0x12, 0x40, 0x46, 0x90, 0xff, 0x00}) {
      Frames sink(true);
      FrameParser parser(sink);
      EXPECT_FALSE(parser.feed(header(static_cast<std::uint8_t>(kind), length, 1).span())) << length;
      EXPECT_THAT(parser.failure(), HasSubstr("frame of " + std::to_string(length) + " bytes"));
      EXPECT_TRUE(sink.frames.empty());
      EXPECT_FALSE(sink.asked);
    }
  }
}

TEST(FrameParser, stops_where_its_sink_stops_it) {
  Frames sink(false);
  sink.stop_at = 3;
  FrameParser parser(sink);
  EXPECT_FALSE(parser.feed(ten_frames.span()));
  EXPECT_EQ(sink.frames.size(), 3U);
  EXPECT_EQ(parser.failure(), "");
}

}  // namespace
}  // namespace gangway::testing
