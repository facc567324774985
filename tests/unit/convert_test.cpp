#include <gangway/convert.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace app {

struct Point {
  double x = 0;
  double y = 0;
  friend bool operator==(const Point&, const Point&) = default;
};

void gangway_value_from(gangway::Value& out, const Point& point) { out = gangway::Tuple{point.x, point.y}; }

Point gangway_value_to(std::type_identity<Point>, const gangway::Value& value) {
  const auto [x, y] = gangway::value_to<std::pair<double, double>>(value);
  return {x, y};
}

}  // namespace app

namespace gangway {
namespace {

template <class T>
void expect_both_ways(const T& object, const Value& value, Kind kind) {
  const Value made = value_from(object);
  EXPECT_EQ(made, value);
  EXPECT_EQ(made.kind(), kind);
  EXPECT_EQ(value_from(T(object)), value);
  EXPECT_TRUE(value_to<T>(made) == object) << value;
  EXPECT_TRUE(value_to<T>(Value(made)) == object) << value;
}

TEST(Convert, standard_types_go_both_ways) {
  expect_both_ways(true, true, Kind::boolean);
  expect_both_ways(std::int8_t{-5}, -5, Kind::integer);
  expect_both_ways(std::uint8_t{255}, 255, Kind::integer);
  expect_both_ways(short{7}, 7, Kind::integer);
  expect_both_ways(7U, 7, Kind::integer);
  expect_both_ways(std::numeric_limits<long long>::min(), std::numeric_limits<std::int64_t>::min(), Kind::integer);
  expect_both_ways(std::numeric_limits<std::uint64_t>::max(), BigInt::from_decimal("18446744073709551615"),
                   Kind::big_integer);
  expect_both_ways(1.5F, 1.5, Kind::floating);
  expect_both_ways(-1e300, -1e300, Kind::floating);
  expect_both_ways(std::complex<float>(1, 2), std::complex<double>(1, 2), Kind::complex);
  expect_both_ways(std::string("text"), "text", Kind::str);
  expect_both_ways(std::vector<int>{1, 2, 3}, List{1, 2, 3}, Kind::list);
  expect_both_ways(std::vector<bool>{true, false}, List{true, false}, Kind::list);
  expect_both_ways(std::array<int, 3>{1, 2, 3}, List{1, 2, 3}, Kind::list);
  expect_both_ways(std::deque<std::string>{"a", "b"}, List{"a", "b"}, Kind::list);
  expect_both_ways(std::list<double>{1.5, 2.5}, List{1.5, 2.5}, Kind::list);
  expect_both_ways(std::vector<std::byte>{std::byte{1}, std::byte{2}}, Bytes("\1\2"), Kind::bytes);
  expect_both_ways(std::array<std::byte, 2>{std::byte{1}, std::byte{2}}, Bytes("\1\2"), Kind::bytes);
  expect_both_ways(std::pair<int, std::string>{1, "a"}, Tuple{1, "a"}, Kind::tuple);
  expect_both_ways(std::tuple<int, bool, double>{1, true, 2.5}, Tuple{1, true, 2.5}, Kind::tuple);
  expect_both_ways(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}},
                   Dict{{"a", List{Value(1)}}, {"b", List()}}, Kind::dict);
  expect_both_ways(std::unordered_map<int, std::string>{{1, "a"}}, Dict{{1, "a"}}, Kind::dict);
  expect_both_ways(std::set<int>{1, 2}, Set{1, 2}, Kind::set);
  expect_both_ways(std::unordered_set<std::string>{"a"}, Set{"a"}, Kind::set);
  expect_both_ways(std::optional<int>{}, nullptr, Kind::none);
  expect_both_ways(std::optional<int>{5}, 5, Kind::integer);
  expect_both_ways(std::variant<std::monostate, int, std::string>{"a"}, "a", Kind::str);
  expect_both_ways(std::variant<std::monostate, int, std::string>{}, nullptr, Kind::none);
  expect_both_ways(Bytes("x"), Bytes("x"), Kind::bytes);
  expect_both_ways(Dict{{1, 2}}, Dict{{1, 2}}, Kind::dict);
  expect_both_ways(BigInt(std::int64_t{5}), 5, Kind::integer);
  expect_both_ways(Value("x"), "x", Kind::str);
}

TEST(Convert, views_become_values) {
  int numbers[] = {1, 2, 3};
  EXPECT_EQ(value_from("abc"), Value("abc"));
  EXPECT_EQ(value_from(std::string_view("abc")), Value("abc"));
  EXPECT_EQ(value_from(nullptr), Value());
  EXPECT_EQ(value_from(numbers), Value(List{1, 2, 3}));
  EXPECT_EQ(value_from(std::span<const int>(numbers)), Value(List{1, 2, 3}));
  EXPECT_EQ(value_from(std::as_bytes(std::span("ab", 2))), Value(Bytes("ab")));
}

TEST(Convert, types_of_the_user_take_part) {
  expect_both_ways(app::Point{1, 2.5}, Tuple{1.0, 2.5}, Kind::tuple);
  expect_both_ways(std::vector<app::Point>{{1, 2}, {3, 4}}, List{Tuple{1.0, 2.0}, Tuple{3.0, 4.0}}, Kind::list);
  expect_both_ways(std::optional<app::Point>{{1, 2}}, Tuple{1.0, 2.0}, Kind::tuple);
}

TEST(Convert, rows_can_be_lists_or_tuples_and_sets_can_be_frozen) {
  EXPECT_EQ(value_to<std::vector<int>>(Tuple{1, 2}), (std::vector<int>{1, 2}));
  EXPECT_EQ((value_to<std::pair<int, int>>(List{1, 2})), (std::pair<int, int>{1, 2}));
  EXPECT_EQ(value_to<std::set<int>>(FrozenSet{1, 2}), (std::set<int>{1, 2}));
}

TEST(Convert, an_int_becomes_a_double_when_that_is_exact) {
  EXPECT_EQ(value_to<double>(5), 5.0);
  EXPECT_EQ(value_to<std::complex<double>>(5), std::complex<double>(5, 0));
  EXPECT_THROW((void)value_to<double>((std::int64_t{1} << 53) + 1), Error);
  EXPECT_THROW((void)value_to<double>(true), Error);
}

TEST(Convert, a_variant_is_the_first_alternative_that_fits) {
  using Mixed = std::variant<std::uint8_t, int, double, std::string, std::vector<int>>;
  EXPECT_EQ(value_to<Mixed>(5).index(), 0U);
  EXPECT_EQ(value_to<Mixed>(-5).index(), 1U);
  EXPECT_EQ(value_to<Mixed>(1.5).index(), 2U);
  EXPECT_EQ(value_to<Mixed>("x").index(), 3U);
  EXPECT_EQ(value_to<Mixed>(List{1, 2}).index(), 4U);
  EXPECT_THROW((void)value_to<Mixed>(nullptr), Error);
}

template <class T>
std::string error_of(const Value& value) {
  try {
    (void)value_to<T>(value);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), errc::bad_cast);
    return error.what();
  }
  return "no error";
}

TEST(Convert, errors_name_the_value_and_the_type) {
  EXPECT_EQ(error_of<unsigned char>(-1), "cannot convert -1 (int) to unsigned char");
  EXPECT_EQ(error_of<int>(std::int64_t{1} << 40), "cannot convert 1099511627776 (int) to int");
  EXPECT_EQ(error_of<int>(true), "cannot convert True (bool) to int");
  EXPECT_EQ(error_of<bool>(1), "cannot convert 1 (int) to bool");
  EXPECT_EQ(error_of<int>(1.0), "cannot convert 1.0 (float) to int");
  EXPECT_EQ(error_of<double>("1"), "cannot convert '1' (str) to double");
  EXPECT_EQ(error_of<int>(BigInt::from_decimal("99999999999999999999")),
            "cannot convert a value (int beyond 64 bits) to int");
  EXPECT_EQ(error_of<std::vector<int>>(List{1, "x"}), "cannot convert 'x' (str) to int");
  EXPECT_EQ(error_of<app::Point>(List{1, 2, 3}), "there are 3 items, not 2");
  EXPECT_EQ((error_of<std::array<int, 2>>(List{1, 2, 3})), "there are 3 items, not 2");
  EXPECT_EQ((error_of<std::array<std::byte, 2>>(Bytes("abc"))), "there are 3 items, not 2");
  EXPECT_EQ(error_of<Bytes>(std::string(1000, 'x')),
            "cannot convert '" + std::string(60, 'x') + "' (str) to gangway::Bytes");
  EXPECT_NE(error_of<std::vector<int>>(Dict{}).find("cannot convert a value (dict) to std::vector<int"),
            std::string::npos);
}

TEST(Convert, texts_and_bytes_are_moved_out) {
  Value text = std::string(1000, 'x');
  const char* const data = text.as_str().data();
  EXPECT_EQ(value_to<std::string>(std::move(text)).data(), data);
  Value bytes = Bytes("some bytes");
  const std::byte* const first = bytes.as_bytes().data();
  EXPECT_EQ(value_to<Bytes>(std::move(bytes)).data(), first);
}

}  // namespace
}  // namespace gangway
