// Every allocation of a decoder or encoder fails once: std::bad_alloc comes out, nothing
// leaks, nothing is changed.
#include <gtest/gtest.h>

#include <new>
#include <sstream>

#include <gangway/dump.hpp>
#include <gangway/value.hpp>

#include "core/item_codec.hpp"
#include "tests/support/fail_count.hpp"

namespace gangway {
namespace {

using gangway::testing::FailCount;
using gangway::testing::live_blocks;

Value sample() {
  Dict many;
  for (int i = 0; i < 40; ++i) many["a key that is too long to be kept inline, number " + std::to_string(i)] = i;
  List list;
  for (int i = 0; i < 100; ++i) list.push_back(std::string(40, 'x'));
  Set set;
  for (int i = 0; i < 20; ++i) set.insert(Tuple{i, FrozenSet{i, "member"}});
  return List{many,
              list,
              set,
              Bytes(std::string(300, 'b')),
              BigInt::from_decimal("123456789012345678901234567890"),
              Tuple{1, 2, 3, 4, 5},
              std::complex<double>(1, 2),
              Dict{{Tuple{1}, Dict{{1, List{Dict{}}}}}}};
}

// Runs `work` with the first, the second ... allocation failing until it succeeds.
template <class Work>
void expect_contained(Work&& work) {
  work();  // whatever is allocated once and kept
  std::size_t failures = 0;
  for (;; ++failures) {
    const std::ptrdiff_t before = live_blocks();
    bool failed = false;
    {
      const FailCount fail(failures);
      try {
        work();
      } catch (const std::bad_alloc&) {
      }
      failed = fail.failed();
    }
    ASSERT_EQ(live_blocks(), before) << "after a failure of allocation " << failures;
    if (!failed) break;
    ASSERT_LT(failures, 100'000U);
  }
  EXPECT_GT(failures, 3U);
}

TEST(AllocationFailure, is_contained_in_decode) {
  const Value value = sample();
  const Bytes stream = detail::encode_pickle(value);
  expect_contained([&] { (void)detail::decode_pickle(stream); });
}

TEST(AllocationFailure, is_contained_in_encode) {
  const Value value = sample();
  expect_contained([&] { (void)detail::encode_pickle(value); });
}

TEST(AllocationFailure, is_contained_in_loads_and_dumps) {
  const Value value = sample();
  const Bytes document = dumps(value);
  expect_contained([&] { (void)loads(document); });
  expect_contained([&] { (void)dumps(value); });
}

TEST(AllocationFailure, leaves_a_dict_and_a_set_as_they_were) {
  for (int size = 0; size < 40; ++size) {
    Dict dict;
    Set set;
    for (int i = 0; i < size; ++i) {
      dict[i] = i;
      set.insert(i);
    }
    const Dict dict_before = dict;
    const Set set_before = set;
    for (std::size_t n = 0;; ++n) {
      bool failed = false;
      {
        const FailCount fail(n);
        try {
          dict[Tuple{}] = 1;
        } catch (const std::bad_alloc&) {
        }
        failed = fail.failed();
      }
      if (!failed) break;
      ASSERT_EQ(dict, dict_before) << size;
    }
    EXPECT_EQ(dict.at(Tuple{}), Value(1));
    for (std::size_t n = 0;; ++n) {
      bool failed = false;
      {
        const FailCount fail(n);
        try {
          set.insert(Tuple{});
        } catch (const std::bad_alloc&) {
        }
        failed = fail.failed();
      }
      if (!failed) break;
      ASSERT_EQ(set, set_before) << size;
    }
    EXPECT_TRUE(set.contains(Tuple{}));
  }
}

TEST(AllocationFailure, leaves_the_target_of_an_assignment_as_it_was) {
  const Value source = sample();
  Value target = "the old one";
  for (std::size_t n = 0;; ++n) {
    bool failed = false;
    {
      const FailCount fail(n);
      try {
        target = source;
      } catch (const std::bad_alloc&) {
      }
      failed = fail.failed();
    }
    if (!failed) break;
    ASSERT_EQ(target, Value("the old one"));
  }
  EXPECT_EQ(target, source);
}

}  // namespace
}  // namespace gangway
