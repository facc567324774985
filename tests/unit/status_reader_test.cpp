#include "gateways/status_reader.hpp"

#include <gtest/gtest.h>

namespace gangway::detail {
namespace {

TEST(StatusReader, reads_every_key) {
  const Dict reply{
      {"numchannels", 3},
      {"numexecuting", 1},
      {"execmodel", "thread"},
      {"pid", 4711},
      {"agent", "native"},
      {"version", "0.1.0"},
      {"python", "3.11.2"},
      {"uptime", 12.5},
      {"memory", 20'000'000},
      {"tasks", List{Dict{{"channel", 5}, {"source", "work.py in f"}, {"age", 0.25}, {"thread", 99}}}},
      {"queued", Dict{{5, Tuple{10, 20}}, {2, Tuple{0, 1}}}},
      {"unresponsive", 1.5},
      {"later", "unknown"},
  };
  const RemoteStatus status = read_status(reply);
  EXPECT_EQ(status.numchannels, 3);
  EXPECT_EQ(status.numexecuting, 1);
  EXPECT_EQ(status.execmodel, "thread");
  EXPECT_EQ(status.pid, 4711);
  EXPECT_EQ(status.agent, "native");
  EXPECT_EQ(status.version, "0.1.0");
  EXPECT_EQ(status.python, "3.11.2");
  EXPECT_EQ(status.uptime.count(), 12.5);
  EXPECT_EQ(status.memory, 20'000'000u);
  ASSERT_EQ(status.tasks.size(), 1u);
  EXPECT_EQ(status.tasks[0].channel, 5u);
  EXPECT_EQ(status.tasks[0].source, "work.py in f");
  EXPECT_EQ(status.tasks[0].age.count(), 0.25);
  EXPECT_EQ(status.tasks[0].thread, 99);
  ASSERT_EQ(status.queued.size(), 2u);
  EXPECT_EQ(status.queued.at(5).arrived, 10u);
  EXPECT_EQ(status.queued.at(5).to_send, 20u);
  EXPECT_EQ(status.unresponsive.count(), 1.5);
  EXPECT_EQ(status.details, reply);
}

TEST(StatusReader, takes_what_an_older_agent_says) {
  const RemoteStatus status = read_status(Dict{{"numchannels", 1}, {"numexecuting", 2}, {"execmodel", "thread"}});
  EXPECT_EQ(status.numexecuting, 2);
  EXPECT_EQ(status.pid, 0);
  EXPECT_EQ(status.memory, std::nullopt);
  EXPECT_TRUE(status.tasks.empty());
  EXPECT_TRUE(status.queued.empty());
  EXPECT_EQ(status.unresponsive.count(), 0);
}

TEST(StatusReader, believes_nothing_of_the_wrong_kind) {
  const RemoteStatus status = read_status(Dict{
      {"numchannels", "many"},
      {"execmodel", 7},
      {"memory", "all"},
      {"tasks", List{1, Dict{{"channel", -5}, {"source", "\x1b[2J"}, {"age", nullptr}}}},
      {"queued", Dict{{1, 2}, {3, Tuple{1}}, {std::int64_t{1} << 40, Tuple{-1, 4}}}},
      {"unresponsive", List{}},
  });
  EXPECT_EQ(status.numchannels, 0);
  EXPECT_EQ(status.execmodel, "");
  EXPECT_EQ(status.memory, std::nullopt);
  ASSERT_EQ(status.tasks.size(), 1u);
  EXPECT_EQ(status.tasks[0].channel, 0u);
  EXPECT_EQ(status.tasks[0].source, "\\x1b[2J") << "it will be shown on a terminal";
  ASSERT_EQ(status.queued.size(), 1u);
  EXPECT_EQ(status.queued.at(0).arrived, 0u);
  EXPECT_EQ(status.unresponsive.count(), 0);
}

}  // namespace
}  // namespace gangway::detail
