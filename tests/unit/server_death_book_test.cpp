#include <gtest/gtest.h>

#include "gateways/server/death_book.hpp"

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;

DeathRecord exit_status(int status) { return {status, {}, {}}; }

TEST(DeathBook, death_is_told_once_to_who_has_the_token) {
  DeathBook book;
  const DeathBook::Time now{};
  book.enter(1, "one");
  book.enter(2, "two");
  EXPECT_EQ(book.find("one", now), DeathBook::Id{1});
  EXPECT_FALSE(book.take(1));  // it lives
  book.died(1, exit_status(3), now);
  EXPECT_FALSE(book.find("three", now));
  EXPECT_FALSE(book.find("", now));
  EXPECT_EQ(book.find("one", now), DeathBook::Id{1});
  EXPECT_EQ(book.take(1), exit_status(3));
  EXPECT_FALSE(book.find("one", now));
  EXPECT_FALSE(book.take(1));
  EXPECT_EQ(book.find("two", now), DeathBook::Id{2});
}

TEST(DeathBook, connections_without_a_token_leave_nothing) {
  DeathBook book;
  book.enter(1, "");
  book.died(1, exit_status(3), {});
  book.died(2, exit_status(3), {});
  EXPECT_EQ(book.deaths(), 0u);
  EXPECT_FALSE(book.find("", {}));
}

TEST(DeathBook, deaths_are_forgotten_in_time_and_lives_are_not) {
  DeathBook book;
  const DeathBook::Time now{};
  book.enter(1, "dead");
  book.enter(2, "alive");
  book.died(1, exit_status(3), now);
  EXPECT_TRUE(book.find("dead", now + limits::death_kept - 1ms));
  EXPECT_FALSE(book.find("dead", now + limits::death_kept));
  EXPECT_TRUE(book.find("alive", now + 24h));
}

TEST(DeathBook, the_oldest_of_too_many_deaths_is_forgotten) {
  DeathBook book;
  DeathBook::Time now{};
  const auto token = [](DeathBook::Id id) { return "token " + std::to_string(id); };
  for (DeathBook::Id id = 1; id <= limits::deaths_kept + 2; ++id) book.enter(id, token(id));
  for (DeathBook::Id id = limits::deaths_kept + 2; id >= 1; --id) book.died(id, exit_status(3), now += 1ms);
  EXPECT_EQ(book.deaths(), limits::deaths_kept);
  EXPECT_FALSE(book.find(token(limits::deaths_kept + 2), now));
  EXPECT_FALSE(book.find(token(limits::deaths_kept + 1), now));
  EXPECT_TRUE(book.find(token(limits::deaths_kept), now));
}

}  // namespace
}  // namespace gangway::detail
