// Rows A2 and A3: the marker behind noise of every shape.
#include "channels/preamble.hpp"

#include <gtest/gtest.h>

#include <set>

namespace gangway::detail {
namespace {

constexpr Nonce nonce = {std::byte{0x00}, std::byte{0x11}, std::byte{0x22}, std::byte{0x33},
                         std::byte{0x44}, std::byte{0x55}, std::byte{0x66}, std::byte{0x77},
                         std::byte{0x88}, std::byte{0x99}, std::byte{0xaa}, std::byte{0xbb},
                         std::byte{0xcc}, std::byte{0xdd}, std::byte{0xee}, std::byte{0xff}};
using Result = Preamble::Result;

struct Outcome {
  Result result = Result::searching;
  std::string rest;
};

Outcome feed(Preamble& preamble, std::string_view text, std::size_t step) {
  Outcome outcome;
  while (!text.empty() && outcome.result == Result::searching) {
    const auto piece = text.substr(0, step);
    std::span<const std::byte> rest;
    outcome.result = preamble.feed(std::as_bytes(std::span(piece)), rest);
    text.remove_prefix(piece.size());
    if (outcome.result == Result::found) {
      outcome.rest = std::string(reinterpret_cast<const char*>(rest.data()), rest.size());
      outcome.rest += text;
    }
  }
  return outcome;
}

TEST(Preamble, marker_is_the_one_of_the_page) {
  EXPECT_EQ(marker_for(nonce), "<GW1 8899aabbccddeeff0011223344556677>\n");
  EXPECT_EQ(marker_for(nonce).size(), 39U);
}

TEST(Preamble, finds_the_marker_however_the_stream_is_cut) {
  const std::string marker = marker_for(nonce);
  const std::string echoed = "<GW1 " + to_hex(nonce) + ">\n";  // by a terminal: not swapped
  for (const std::string& noise :
       {std::string(), std::string("Welcome!\n"), std::string("<GW1 "), std::string("<<<<"), echoed,
        marker.substr(0, 38), marker.substr(0, 20) + marker.substr(0, 38), std::string(5000, '<')}) {
    for (std::size_t step = 1; step < 100; ++step) {
      Preamble preamble(nonce);
      const Outcome outcome = feed(preamble, noise + marker + "frames <GW1", step);
      ASSERT_EQ(outcome.result, Result::found) << noise << " by " << step;
      EXPECT_EQ(outcome.rest, "frames <GW1");
      EXPECT_EQ(preamble.noise(), noise);
    }
  }
}

TEST(Preamble, a_marker_of_another_session_is_noise) {
  Nonce other = nonce;
  other[15] = std::byte{0xfe};
  Preamble preamble(nonce);
  EXPECT_EQ(feed(preamble, marker_for(other) + "more", 7).result, Result::searching);
  EXPECT_EQ(feed(preamble, marker_for(nonce) + "x", 7).rest, "x");
  EXPECT_EQ(preamble.noise(), marker_for(other) + "more");
}

TEST(Preamble, skips_64_KiB_and_not_one_byte_more) {
  const std::string marker = marker_for(nonce);
  for (const std::size_t step : {1UL, 39UL, 4096UL, 1UL << 20}) {
    Preamble at(nonce);
    EXPECT_EQ(feed(at, std::string(limits::noise, '.') + marker, step).result, Result::found) << step;
    EXPECT_EQ(at.noise().size(), limits::noise);
    Preamble over(nonce);
    EXPECT_EQ(feed(over, std::string(limits::noise + 1, '.') + marker, step).result, Result::too_much_noise) << step;
    EXPECT_EQ(over.noise().size(), limits::noise);
    Preamble endless(nonce);
    EXPECT_EQ(feed(endless, std::string(4 * limits::noise, '.'), step).result, Result::too_much_noise) << step;
  }
}

TEST(Preamble, nonces_differ) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(to_hex(make_nonce()));
  EXPECT_EQ(seen.size(), 1000U);
}

}  // namespace
}  // namespace gangway::detail
