// Several channels that are used together, and the queue of what arrives on them.
#include <gangway/multi_channel.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

using ::testing::ElementsAre;

class MultiChannels : public ConnectedTest {
 protected:
  void open(std::uint64_t window = limits::window, int count = 3) {
    connect(window);
    for (int i = 0; i < count; ++i) {
      auto [a, b] = channel();
      here.push_back(a);
      there.push_back(b);
    }
  }
  void TearDown() override {
    here.clear();
    there.clear();
    ConnectedTest::TearDown();
  }
  std::vector<Channel> here, there;
};

TEST_F(MultiChannels, each_is_sent_to_and_received_from_in_order) {
  open();
  MultiChannel all(here);
  EXPECT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1], here[1]);
  EXPECT_TRUE(all.contains(here[2]));
  EXPECT_FALSE(all.contains(there[2]));
  all.send_each("x");
  for (std::size_t i = 3; i-- > 0;) {
    EXPECT_EQ(there[i].receive(patience), Value("x"));
    there[i].send(i);
    there[i].send(10 + i);
  }
  EXPECT_THAT(all.receive_each(), ElementsAre(Value(0), Value(1), Value(2)));
  const auto second = all.receive_each_with_channel();
  ASSERT_EQ(second.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(second[i].first, here[i]);
    EXPECT_EQ(second[i].second, Value(10 + i));
  }
}

TEST_F(MultiChannels, waitclose_waits_for_all_and_throws_the_first_error) {
  open();
  MultiChannel all(here);
  there[1].close("first");
  there[2].close("second");
  auto waiting = std::async(std::launch::async, [&] { return failure_of([&] { all.waitclose(); }); });
  EXPECT_EQ(waiting.wait_for(50ms), std::future_status::timeout);
  there[0].close();
  EXPECT_EQ(waiting.get().text, "first");
  all.waitclose();
}

TEST_F(MultiChannels, a_queue_has_everything_in_the_order_of_arrival_and_the_ends) {
  open();
  there[0].send(0);
  controller->ping(in(patience));
  MultiChannel all(here);
  ReceiveQueue queue = all.make_receive_queue(Value("over"));
  EXPECT_EQ(queue, all.make_receive_queue());
  there[2].send(1);
  there[1].send(2);
  there[2].close("broke");
  there[0].send(3);
  const std::pair<std::size_t, Value> expected[] = {
      {0, Value(0)}, {2, Value(1)}, {1, Value(2)}, {2, Value("over")}, {0, Value(3)}};
  for (const auto& [member, item] : expected) {
    const auto got = queue.get(patience);
    EXPECT_EQ(got.first, here[member]);
    EXPECT_EQ(got.second, item);
  }
  EXPECT_EQ(failure_of([&] { here[2].waitclose(patience); }).text, "broke");
  EXPECT_EQ(failure_of([&] { (void)queue.get(20ms); }).code, errc::timed_out);
  EXPECT_EQ(failure_of([&] { (void)all.receive_each(); }).code, errc::has_callback);
  auto waiting = std::async(std::launch::async, [&] {
    (void)queue.get(patience);
    (void)queue.get(patience);
    return failure_of([&] { (void)queue.get(patience); });
  });
  there[0].close();
  agent->finish({errc::terminated, "gone", {}});
  EXPECT_EQ(waiting.get().code, errc::end_of_channel);
}

TEST_F(MultiChannels, a_queue_without_members_or_end_marker_ends_by_itself) {
  EXPECT_EQ(failure_of([] { (void)MultiChannel().make_receive_queue().get(); }).code, errc::end_of_channel);
  open();
  ReceiveQueue queue = MultiChannel(here).make_receive_queue();
  std::vector<std::future<Failure>> waiting;
  for (int i = 0; i < 3; ++i)
    waiting.push_back(std::async(std::launch::async, [&] { return failure_of([&] { (void)queue.get(patience); }); }));
  for (Channel& channel : there) channel.close();
  for (auto& each : waiting) EXPECT_EQ(each.get().code, errc::end_of_channel);
}

TEST_F(MultiChannels, a_queue_that_nobody_reads_holds_up_the_senders) {
  open(2048, 1);
  ReceiveQueue queue = MultiChannel(here).make_receive_queue();
  int sent = 0;
  while (!failure_of([&] { there[0].send(sent, 50ms); }).code) ++sent;
  EXPECT_LT(sent, 2 * 2048 / 40);
  auto sending = std::async(std::launch::async, [&, from = sent] {
    for (int i = from; i < 500; ++i) there[0].send(i, patience);
  });
  for (int i = 0; i < 500; ++i) EXPECT_EQ(queue.get(patience).second, Value(i));
  sending.get();
}

TEST_F(MultiChannels, a_queue_registers_with_all_or_with_none) {
  open();
  here[1].setcallback([](const Value&) {});
  MultiChannel all(here);
  EXPECT_EQ(failure_of([&] { (void)all.make_receive_queue(); }).code, errc::has_callback);
  there[0].send(1);
  EXPECT_EQ(here[0].receive<int>(patience), 1);
}

}  // namespace
}  // namespace gangway::testing
