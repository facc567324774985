#include "channels/write_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <list>
#include <random>

#include "tests/support/machine.hpp"

namespace gangway::testing {
namespace {

using detail::WriteQueue;

struct Owner final : WriteQueue::Borrowed {
  void on_written(std::size_t size) override { written += size; }
  void on_forgotten(std::size_t size) override { forgotten += size; }
  Bytes payload;
  std::size_t written = 0;
  std::size_t forgotten = 0;
};

Bytes drain(WriteQueue& queue, std::size_t most, std::size_t pieces = 8) {
  std::vector<iovec> room(pieces);
  Bytes result;
  for (const iovec& piece : queue.gather(room)) {
    const std::size_t size = std::min(piece.iov_len, most - result.size());
    result.append({static_cast<const std::byte*>(piece.iov_base), size});
  }
  queue.consume(result.size());
  return result;
}

Bytes drain_all(WriteQueue& queue) {
  Bytes result;
  while (!queue.empty()) result = result + drain(queue, ~std::size_t{0});
  return result;
}

TEST(WriteQueue, writes_copied_and_borrowed_pieces_in_order) {
  WriteQueue queue;
  Owner owner;
  owner.payload = bytes_of("borrowed");
  queue.append(bytes_of("first ").span());
  queue.append_frame({1, 11, 2}, bytes_of("pre").span(), owner.payload.span(), owner);
  queue.append_frame({3, 4, 5}, bytes_of("last").span());
  EXPECT_EQ(queue.size(), 6 + 8 + 3 + 8 + 8 + 4U);
  EXPECT_EQ(drain_all(queue),
            bytes_of("first ") + header(1, 11, 2) + bytes_of("preborrowed") + header(3, 4, 5) + bytes_of("last"));
  EXPECT_EQ(owner.written, 8U);
  EXPECT_TRUE(queue.empty());
}

TEST(WriteQueue, gather_gives_no_more_pieces_than_there_is_room_for) {
  WriteQueue queue;
  std::list<Owner> owners(10);
  for (Owner& owner : owners) {
    owner.payload = bytes_of("x");
    queue.append_frame({1, 1, 1}, {}, owner.payload.span(), owner);
  }
  std::array<iovec, 3> room;
  EXPECT_EQ(queue.gather(room).size(), 3U);
  std::array<iovec, 32> large;
  EXPECT_EQ(queue.gather(large).size(), 20U);
}

TEST(WriteQueue, forget_copies_what_is_not_written_yet) {
  for (std::size_t before = 0; before <= 20; ++before) {
    WriteQueue queue;
    Owner stays;
    stays.payload = bytes_of("stays");
    auto goes = std::make_unique<Owner>();
    goes->payload = bytes_of("goes");
    goes->group = 2;
    queue.append_frame({1, 5, 1}, {}, stays.payload.span(), stays);
    queue.append_frame({1, 4, 2}, {}, goes->payload.span(), *goes);
    queue.append_frame({1, 5, 1}, {}, stays.payload.span(), stays);
    const Bytes whole =
        header(1, 5, 1) + bytes_of("stays") + header(1, 4, 2) + bytes_of("goes") + header(1, 5, 1) + bytes_of("stays");
    const Bytes first = drain(queue, before);
    queue.forget(3);  // nobody's
    queue.forget(goes->group);
    ASSERT_EQ(goes->written + goes->forgotten, 4U);
    goes.reset();
    ASSERT_EQ(first + drain_all(queue), whole) << before;
    EXPECT_EQ(stays.written, 10U);
  }
}

TEST(WriteQueue, abandon_names_each_owner_once) {
  WriteQueue queue;
  Owner a, b, done;
  a.payload = b.payload = done.payload = bytes_of("x");
  queue.append_frame({1, 1, 1}, {}, done.payload.span(), done);
  (void)drain_all(queue);
  for (int i = 0; i < 3; ++i) {
    queue.append_frame({1, 1, 1}, {}, a.payload.span(), a);
    queue.append_frame({1, 1, 1}, {}, b.payload.span(), b);
  }
  EXPECT_EQ(queue.abandon(), &a);
  EXPECT_EQ(queue.abandon(), &b);
  EXPECT_EQ(queue.abandon(), nullptr);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_TRUE(drain_all(queue).empty());
}

TEST(WriteQueue, keeps_every_byte_whatever_is_done) {
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    WriteQueue queue;
    std::list<Owner> owners;
    std::uint32_t next_group = 1;
    Bytes expected;
    Bytes got;
    for (int step = 0; step < 100; ++step) {
      const std::size_t size = random() % 3 == 0 ? random() % 100'000 : random() % 50;
      const Bytes payload = pattern(size, random());
      switch (random() % 4) {
        case 0:
          queue.append_frame({2, static_cast<std::uint32_t>(size), 1}, payload.span());
          expected = expected + header(2, static_cast<std::uint32_t>(size), 1) + payload;
          break;
        case 1:
          owners.emplace_back().payload = payload;
          owners.back().group = next_group++;
          queue.append_frame({2, static_cast<std::uint32_t>(size), 1}, {}, owners.back().payload.span(), owners.back());
          expected = expected + header(2, static_cast<std::uint32_t>(size), 1) + payload;
          break;
        case 2:
          if (owners.empty()) break;
          queue.forget(owners.front().group);
          owners.pop_front();
          break;
        default: got = got + drain(queue, random() % 200'000, 1 + random() % 8);
      }
      ASSERT_EQ(queue.size(), expected.size() - got.size());
    }
    ASSERT_EQ(got + drain_all(queue), expected);
    for (const Owner& owner : owners) ASSERT_EQ(owner.written, owner.payload.size());
  }
}

}  // namespace
}  // namespace gangway::testing
