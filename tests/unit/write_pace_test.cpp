#include "channels/write_pace.hpp"

#include <gtest/gtest.h>

namespace gangway::testing {
namespace {

using detail::WritePace;
using namespace std::chrono_literals;

bool observe(WritePace& pace, std::size_t written, std::chrono::nanoseconds waited) {
  pace.wrote(written);
  return pace.waited(waited);
}

// Writes as fast as a line of so many bytes a second takes it. Gives how long that took.
std::chrono::duration<double> write(WritePace& pace, double rate, std::size_t size) {
  std::chrono::duration<double> sum{0};
  for (std::size_t written = 0; written < size; written += pace.limit()) {
    const std::chrono::duration<double> waited(static_cast<double>(pace.limit()) / rate);
    sum += waited;
    (void)observe(pace, pace.limit(), std::chrono::duration_cast<std::chrono::nanoseconds>(waited));
  }
  return sum;
}

TEST(WritePace, a_fast_stream_is_soon_left_alone) {
  WritePace pace;
  EXPECT_EQ(pace.limit(), WritePace::first);
  EXPECT_FALSE(pace.is_fast());
  ASSERT_TRUE(pace.backlog());
  EXPECT_EQ(pace.backlog()->bytes, WritePace::first);
  EXPECT_FALSE(pace.backlog()->sent_too);
  (void)write(pace, 1e9, 1'500'000);
  EXPECT_TRUE(pace.is_fast());
  EXPECT_EQ(pace.limit(), WritePace::most);
  EXPECT_FALSE(pace.backlog());
}

TEST(WritePace, a_tenth_of_a_second_goes_out_at_once) {
  WritePace pace;
  (void)write(pace, 500'000, 3'000'000);
  EXPECT_NEAR(static_cast<double>(pace.limit()), 50'000, 5'000);
  EXPECT_FALSE(pace.is_fast());
  ASSERT_TRUE(pace.backlog());
  EXPECT_EQ(pace.backlog()->bytes, pace.limit());
  EXPECT_TRUE(pace.backlog()->sent_too);
}

// A line that acknowledges 12 KiB every two seconds takes them at once then.
TEST(WritePace, what_a_slow_line_takes_at_once_does_not_make_it_fast) {
  WritePace pace;
  (void)observe(pace, 12 * 1024, 2s);
  for (int round = 0; round < 10; ++round) {
    for (int piece = 0; piece < 2; ++piece) (void)observe(pace, pace.limit(), 1us);
    (void)observe(pace, pace.limit(), 2s);
    EXPECT_EQ(pace.limit(), WritePace::least);
  }
}

TEST(WritePace, a_line_that_becomes_slow_is_found_out_and_one_that_recovers_too) {
  WritePace pace;
  (void)write(pace, 1e9, 2'000'000);
  ASSERT_TRUE(pace.is_fast());
  EXPECT_LT(write(pace, 8'000, 30'000), 25s);
  EXPECT_EQ(pace.limit(), WritePace::least);
  (void)write(pace, 1e9, 2'000'000);
  EXPECT_TRUE(pace.is_fast());
  EXPECT_FALSE(pace.backlog());
}

TEST(WritePace, what_was_written_before_counts_as_waiting_only) {
  WritePace pace;
  EXPECT_FALSE(observe(pace, 0, 5s));  // there was no stream yet
  (void)observe(pace, 1000, 300ms);
  EXPECT_EQ(pace.limit(), WritePace::first);
  EXPECT_FALSE(pace.backlog()->sent_too);
  EXPECT_TRUE(observe(pace, 0, 5s));
  EXPECT_TRUE(pace.backlog()->sent_too);
  EXPECT_EQ(pace.limit(), WritePace::least);
}

TEST(WritePace, is_due_after_its_limit_and_after_a_turn_when_fast) {
  WritePace pace;
  pace.wrote(WritePace::first - 1);
  pace.rest();  // which what is not known to be fast does not get
  EXPECT_FALSE(pace.is_due());
  pace.wrote(1);
  EXPECT_TRUE(pace.is_due());
  (void)pace.waited(0s);
  EXPECT_FALSE(pace.is_due());

  (void)write(pace, 1e9, 1'500'000);
  ASSERT_TRUE(pace.is_fast());
  pace.wrote(WritePace::turn - 1);
  EXPECT_FALSE(pace.is_due());
  pace.wrote(1);
  EXPECT_TRUE(pace.is_due());
  pace.rest();
  EXPECT_FALSE(pace.is_due());
}

TEST(WritePace, that_was_lifted_counts_as_fast_whatever_happens) {
  WritePace pace;
  (void)observe(pace, 1000, 10s);
  pace.lift();
  EXPECT_TRUE(pace.is_fast());
  EXPECT_EQ(pace.limit(), WritePace::most);
  EXPECT_FALSE(observe(pace, 1000, 10s));
  EXPECT_TRUE(pace.is_fast());
  EXPECT_FALSE(pace.backlog());
}

}  // namespace
}  // namespace gangway::testing
