#include "channels/fifo.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>

namespace gangway::detail {
namespace {

TEST(Fifo, agrees_with_a_deque_whatever_is_done) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    Fifo<int> fifo;
    std::deque<int> model;
    for (int step = 0; step < 300; ++step) {
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
        case 3:
          fifo.push(step);
          model.push_back(step);
          break;
        case 4:
        case 5:
        case 6:
          if (model.empty()) break;
          ASSERT_EQ(fifo.front(), model.front());
          ASSERT_EQ(fifo.pop(), model.front());
          model.pop_front();
          break;
        default: {
          const int which = static_cast<int>(random() % 300);
          const auto found = std::find(model.begin(), model.end(), which);
          ASSERT_EQ(fifo.remove(which), found != model.end());
          if (found != model.end()) model.erase(found);
        }
      }
      ASSERT_EQ(fifo.size(), model.size());
      ASSERT_EQ(fifo.empty(), model.empty());
      ASSERT_TRUE(std::equal(fifo.begin(), fifo.end(), model.begin(), model.end()));
    }
    fifo.clear();
    EXPECT_TRUE(fifo.empty());
  }
}

TEST(Fifo, does_not_grow_while_it_stays_short) {
  struct Counted {
    std::shared_ptr<int> alive;
  };
  const auto token = std::make_shared<int>(0);
  Fifo<Counted> fifo;
  for (int i = 0; i < 3; ++i) fifo.push({token});
  for (int i = 0; i < 10'000; ++i) {
    fifo.push({token});
    (void)fifo.pop();
  }
  EXPECT_EQ(fifo.size(), 3U);
  EXPECT_EQ(token.use_count(), 4);  // what was taken is not kept, and what is moved from holds nothing
}

}  // namespace
}  // namespace gangway::detail
