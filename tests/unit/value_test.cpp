#include <gangway/value.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>

#include <gangway/error.hpp>

namespace gangway {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

Value big(const char* digits) { return BigInt::from_decimal(digits); }

TEST(Value, every_type_has_its_kind) {
  const std::pair<Value, Kind> cases[] = {
      {nullptr, Kind::none},
      {true, Kind::boolean},
      {1, Kind::integer},
      {std::uint8_t{1}, Kind::integer},
      {std::numeric_limits<std::uint64_t>::max(), Kind::big_integer},
      {BigInt(std::int64_t{5}), Kind::integer},
      {1.5F, Kind::floating},
      {std::complex<double>(1, 2), Kind::complex},
      {"text", Kind::str},
      {std::string_view("text"), Kind::str},
      {Bytes("bytes"), Kind::bytes},
      {List{1, 2}, Kind::list},
      {Tuple{1, 2}, Kind::tuple},
      {Dict{{1, 2}}, Kind::dict},
      {Set{1, 2}, Kind::set},
      {FrozenSet{1, 2}, Kind::frozenset},
      {ChannelRef{3, nullptr}, Kind::channel},
  };
  for (const auto& [value, kind] : cases) {
    EXPECT_EQ(value.kind(), kind) << value;
    const Value copy = value;
    EXPECT_EQ(copy, value);
    EXPECT_EQ(copy.kind(), kind);
  }
}

TEST(Value, a_wrong_kind_is_an_error_that_names_both) {
  const Value value = "text";
  try {
    (void)value.as_int();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::bad_cast);
    EXPECT_STREQ(error.what(), "the value is of kind str, not int");
  }
  EXPECT_EQ(value.get_if<std::int64_t>(), nullptr);
  EXPECT_EQ(*value.get_if<std::string>(), "text");
}

TEST(Value, a_moved_from_value_is_none) {
  for (Value value : List{1, 2.5, "text", std::string(100, 'x'), Bytes("b"), List{1}, Tuple{1}, Dict{{1, 2}}, Set{1},
                          FrozenSet{1}, big("100000000000000000000")}) {
    const Value copy = value;
    const Value moved = std::move(value);
    EXPECT_EQ(moved, copy);
    EXPECT_TRUE(value.is_none());  // NOLINT(bugprone-use-after-move)
  }
}

TEST(Value, a_part_of_itself_can_be_assigned) {
  Value value = List{List{1, 2}, "x"};
  value = std::move(value.as_list()[0]);
  EXPECT_EQ(value, Value(List{1, 2}));
  value = value.as_list()[1];
  EXPECT_EQ(value, Value(2));
  Value dict = Dict{{"a", Dict{{"b", 1}}}};
  dict.as_dict() = std::move(dict.as_dict().at("a").as_dict());
  EXPECT_EQ(dict, Value(Dict{{"b", 1}}));
}

TEST(Value, is_equal_as_in_python) {
  const Value one_of_each_class[] = {
      nullptr,
      0,
      1,
      1.5,
      "a",
      "b",
      Bytes("a"),
      List{1},
      Tuple{1},
      Dict{{1, 2}},
      Set{1},
      big("18446744073709551616"),
      std::complex<double>(1, 1),
      ChannelRef{1, nullptr},
      ChannelRef{2, nullptr},
      nan,
      List{nan},
      Dict{{1, 3}},
      "",
      List{},
      Tuple{},
      Dict{},
      Set{},
  };
  for (const Value& a : one_of_each_class) {
    for (const Value& b : one_of_each_class) {
      const bool has_nan = to_string(a).find("nan") != std::string::npos;
      EXPECT_EQ(a == b, &a == &b && !has_nan) << a << " " << b;
    }
  }
  const std::pair<Value, Value> equal[] = {
      {1, 1.0},
      {1, true},
      {0.0, false},
      {0.0, -0.0},
      {1, std::complex<double>(1, 0)},
      {big("18446744073709551616"), 0x1p64},
      {big("18446744073709551616"), std::complex<double>(0x1p64, 0)},
      {Set{1, 2}, FrozenSet{2, 1}},
      {Dict{{1, 2}, {3, 4}}, Dict{{3.0, 4}, {true, 2}}},
      {List{1, true}, List{1.0, 1}},
  };
  for (const auto& [a, b] : equal) {
    EXPECT_EQ(a, b);
    EXPECT_EQ(b, a);
  }
  EXPECT_NE(Value((std::int64_t{1} << 53) + 1), Value(0x1p53));  // not by way of rounding
  EXPECT_NE(Value(std::numeric_limits<std::int64_t>::max()), Value(0x1p63));
  EXPECT_NE(big("18446744073709551617"), Value(0x1p64));
}

TEST(Value, is_written_as_python_writes_it) {
  const std::pair<Value, const char*> cases[] = {
      {nullptr, "None"},
      {true, "True"},
      {-5, "-5"},
      {big("-18446744073709551616"), "-18446744073709551616"},
      {1.0, "1.0"},
      {-0.0, "-0.0"},
      {0.1, "0.1"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {1.5e300, "1.5e+300"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {123456.789, "123456.789"},
      {5e-324, "5e-324"},
      {nan, "nan"},
      {-std::numeric_limits<double>::infinity(), "-inf"},
      {std::complex<double>(0, 1), "1j"},
      {std::complex<double>(-0.0, 1), "(-0+1j)"},
      {std::complex<double>(1.5, -2), "(1.5-2j)"},
      {std::complex<double>(1, nan), "(1+nanj)"},
      {"it's", "\"it's\""},
      {"both ' and \"", "'both \\' and \"'"},
      {"tab\tline\n\\ \x01\x7f", "'tab\\tline\\n\\\\ \\x01\\x7f'"},
      {"\xc3\xa4\xc2\x85", "'\xc3\xa4\\x85'"},
      {Bytes(std::string_view("a'\0\xff\n", 5)), "b\"a'\\x00\\xff\\n\""},
      {List{}, "[]"},
      {List{1, "a"}, "[1, 'a']"},
      {Tuple{}, "()"},
      {Tuple{1}, "(1,)"},
      {Tuple{1, 2}, "(1, 2)"},
      {Dict{}, "{}"},
      {Dict{{"a", 1}, {2, nullptr}}, "{'a': 1, 2: None}"},
      {Set{}, "set()"},
      {Set{1, 2}, "{1, 2}"},
      {FrozenSet{}, "frozenset()"},
      {FrozenSet{1}, "frozenset({1})"},
      {ChannelRef{7, nullptr}, "<Channel id=7>"},
  };
  for (const auto& [value, text] : cases) {
    EXPECT_EQ(to_string(value), text);
    std::ostringstream out;
    out << value;
    EXPECT_EQ(out.str(), text);
  }
}

TEST(Dict, keeps_the_order_of_insertion_and_the_last_of_equal_keys) {
  Dict dict{{"b", 1}, {"a", 2}, {1, 3}, {"b", 4}};
  dict[1.0] = 5;
  dict[true] = 6;
  EXPECT_EQ(to_string(dict), "{'b': 4, 'a': 2, 1: 6}");
  EXPECT_TRUE(dict.insert_or_assign("c", 1));
  EXPECT_FALSE(dict.insert_or_assign("c", 2));
  EXPECT_EQ(dict.at("c"), Value(2));
}

TEST(Dict, finds_its_keys_at_every_size) {
  Dict dict;
  for (int i = 0; i < 200; ++i) {
    dict["key " + std::to_string(i)] = i;
    dict[i] = -i;
    dict[Tuple{i, "x"}] = "tuple";
    ASSERT_EQ(dict.size(), static_cast<std::size_t>(3 * (i + 1)));
    for (int j = 0; j <= i; ++j) {
      ASSERT_EQ(dict.at("key " + std::to_string(j)), Value(j));
      ASSERT_EQ(dict.at(Value("key " + std::to_string(j))), Value(j));
      ASSERT_EQ(dict.at(static_cast<double>(j)), Value(-j));
      ASSERT_EQ(dict.at(Tuple{j, "x"}), Value("tuple"));
    }
    ASSERT_FALSE(dict.contains("key " + std::to_string(i + 1)));
    ASSERT_FALSE(dict.contains(i + 1));
  }
  const Dict copy = dict;
  EXPECT_EQ(copy, dict);
  for (int i = 0; i < 200; i += 2) EXPECT_TRUE(dict.erase(i));
  EXPECT_FALSE(dict.erase(0));
  EXPECT_FALSE(dict.contains(0));
  EXPECT_EQ(dict.at(1), Value(-1));
  EXPECT_EQ(dict.at("key 199"), Value(199));
  EXPECT_NE(copy, dict);
  dict.clear();
  EXPECT_FALSE(dict.contains(1));
}

TEST(Dict, a_missing_key_is_named) {
  const Dict dict{{"a", 1}};
  EXPECT_EQ(dict.find("b"), nullptr);
  EXPECT_EQ(dict.find(nullptr), nullptr);
  try {
    (void)dict.at("b");
    FAIL();
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "no key 'b'");
  }
}

TEST(Dict, numbers_of_all_types_are_one_key_in_large_dicts_too) {
  Dict dict;
  for (int i = 0; i < 50; ++i) dict[i] = i;
  const Value large = big("18446744073709551616");
  dict[large] = "large";
  EXPECT_EQ(dict.at(0x1p64), Value("large"));
  EXPECT_EQ(dict.at(std::complex<double>(0x1p64, 0)), Value("large"));
  EXPECT_EQ(dict.at(7.0), Value(7));
  EXPECT_EQ(dict.at(std::complex<double>(7, 0)), Value(7));
  EXPECT_EQ(dict.at(-0.0), Value(0));
  EXPECT_EQ(dict.at(true), Value(1));
  EXPECT_EQ(dict.find(7.5), nullptr);
}

TEST(Dict, nan_keys_are_all_different) {
  Dict dict;
  for (int i = 0; i < 100; ++i) {
    dict[nan] = i;
    dict[Tuple{nan}] = i;
  }
  EXPECT_EQ(dict.size(), 200U);
  EXPECT_FALSE(dict.contains(nan));
}

TEST(Dict, unhashable_keys_are_refused_and_never_found) {
  Dict dict{{1, 2}};
  for (const Value& key : List{List{}, Dict{}, Set{}, Tuple{1, List{}}, Tuple{Tuple{Set{}}}}) {
    EXPECT_THROW(dict[key] = 1, Error) << key;
    EXPECT_THROW(dict.insert_or_assign(key, 1), Error) << key;
    EXPECT_THROW((void)Set{key}, Error) << key;
    EXPECT_EQ(dict.find(key), nullptr) << key;
    EXPECT_FALSE(key.hashable());
  }
  EXPECT_EQ(dict.size(), 1U);
  dict[Tuple{1, FrozenSet{2}, nullptr, Bytes("x")}] = 1;
  EXPECT_EQ(dict.size(), 2U);
}

TEST(Set, keeps_equal_members_once) {
  Set set{1, 1.0, true, "a", "a", Tuple{1, 2}, Tuple{1.0, 2.0}, FrozenSet{1, 2}, FrozenSet{2, 1}};
  EXPECT_EQ(to_string(set), "{1, 'a', (1, 2), frozenset({1, 2})}");
  EXPECT_FALSE(set.insert(1.0));
  EXPECT_TRUE(set.insert(2));
  EXPECT_TRUE(set.erase(2.0));
  EXPECT_FALSE(set.erase(2));
  for (int i = 0; i < 100; ++i) set.insert(i);
  EXPECT_EQ(set.size(), 103U);
  EXPECT_TRUE(set.contains(99.0));
  EXPECT_TRUE(set.contains(FrozenSet{2.0, 1}));
  EXPECT_FALSE(set.contains(100));
}

TEST(Set, equality_does_not_depend_on_the_order_or_the_size) {
  Set up;
  Set down;
  for (int i = 0; i < 30; ++i) {
    up.insert(i);
    down.insert(29.0 - i);
    EXPECT_EQ(up == down, i == 29);
  }
  EXPECT_EQ(Set({FrozenSet(up)}), Set({FrozenSet(down)}));
  EXPECT_EQ(Set({FrozenSet{1, 2}}), Set({FrozenSet{2.0, true}}));
}

// Each level hashes its members: without a hash that is kept, 900 levels take 900^2 steps.
TEST(Set, deeply_nested_sets_are_compared_in_linear_time) {
  const auto chain = [](int innermost) {
    FrozenSet set{innermost};
    for (int i = 0; i < 900; ++i) {
      Set outer;
      outer.insert(std::move(set));
      outer.insert(i);
      set = FrozenSet(std::move(outer));
    }
    return set;
  };
  const FrozenSet a = chain(1);
  EXPECT_EQ(a, chain(1));
  EXPECT_NE(a, chain(2));
  EXPECT_EQ(Set({a, chain(1), chain(2)}).size(), 2U);
}

TEST(Bytes, grows_without_losing_anything) {
  Bytes bytes;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
    bytes.append(std::as_bytes(std::span(piece)));
    expected += piece;
  }
  EXPECT_EQ(bytes.view(), expected);
  bytes.append(bytes.span().first(1000));  // a part of itself
  EXPECT_EQ(bytes.view(), expected + expected.substr(0, 1000));
  bytes.resize_uninitialized(3);
  EXPECT_EQ(bytes.size(), 3U);
  bytes.shrink_to_fit();
  EXPECT_EQ(bytes.capacity(), 3U);
  EXPECT_EQ(bytes.view(), expected.substr(0, 3));
}

TEST(Bytes, is_a_value) {
  const Bytes a("abc");
  Bytes b = a;
  EXPECT_EQ(a, b);
  b.push_back(std::byte{'d'});
  EXPECT_LT(a, b);
  const Bytes c = std::move(b);
  EXPECT_EQ(c.view(), "abcd");
  EXPECT_TRUE(b.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.data(), nullptr);
  b = c;
  EXPECT_EQ(b, c);
  EXPECT_EQ(Bytes(), Bytes(std::string_view()));
}

}  // namespace
}  // namespace gangway
