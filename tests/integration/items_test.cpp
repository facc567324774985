// Items: what can be sent arrives as it was, and what cannot is refused where it is sent.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Items : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Items, ::testing::ValuesIn(main_agents()), agent_name);

Value power_of_two(unsigned exponent, bool negative = false, int plus = 0) {
  // Little endian two's complement of (-)2^exponent + plus, by hand: plus is -1, 0 or 1.
  std::vector<std::byte> bytes(exponent / 8 + 2);
  bytes[exponent / 8] = std::byte(1u << exponent % 8);
  if (negative) {
    unsigned carry = 1;
    for (std::byte& byte : bytes) {
      const unsigned sum = (~std::to_integer<unsigned>(byte) & 255) + carry;
      byte = std::byte(sum & 255);
      carry = sum >> 8;
    }
  }
  for (std::size_t i = 0; plus != 0 && i < bytes.size(); ++i) {
    const int sum = std::to_integer<int>(bytes[i]) + plus;
    bytes[i] = std::byte(sum & 255);
    plus = sum < 0 ? -1 : sum > 255 ? 1 : 0;
  }
  return BigInt::from_bytes(bytes);
}

struct Sample {
  std::string python;  // an expression
  Value value;
};

std::vector<Sample> samples() {
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<Sample> all{
      {"None", nullptr},
      {"True", true},
      {"False", false},
      {"0", 0},
      {"-1", -1},
      {"0.0", 0.0},
      {"-0.0", -0.0},
      {"1.5e300", 1.5e300},
      {"float('inf')", infinity},
      {"float('-inf')", -infinity},
      {"5e-324", 5e-324},
      {"complex(1, -2.5)", std::complex<double>(1, -2.5)},
      {"''", ""},
      {"'text'", "text"},
      {"'\\x00nul\\x00'", std::string("\0nul\0", 5)},
      {"'\\u00e4\\u20ac\\U0001f40d\\uffff'", "\u00e4\u20ac\U0001f40d\uffff"},
      {"'\\ud7ff\\ue000'", "\ud7ff\ue000"},
      {"b''", Bytes()},
      {"b'\\x00\\xff\\x80'", bytes_of(std::string_view("\0\xff\x80", 3))},
      {"[]", List{}},
      {"()", Tuple{}},
      {"{}", Dict{}},
      {"set()", Set{}},
      {"frozenset()", FrozenSet{}},
      {"[[], [[]], ()]", List{List{}, List{Value(List{})}, Tuple{}}},
      {"(1,)", Tuple{1}},
      {"(1, 2, 3, 4, 5)", Tuple{1, 2, 3, 4, 5}},
      {"{1, 'two', (3, 4), None}", Set{1, "two", Tuple{3, 4}, nullptr}},
      {"{frozenset({1}), frozenset()}", Set{FrozenSet{1}, FrozenSet{}}},
      {"{1: 'int', 'a': 'str', (1, 2): 'tuple', None: None, b'b': [], frozenset({1}): {}}",
       Dict{{1, "int"},
            {"a", "str"},
            {Tuple{1, 2}, "tuple"},
            {nullptr, nullptr},
            {bytes_of("b"), List{}},
            {FrozenSet{1}, Dict{}}}},
      {"[1, 1.5, 'x', b'y', None, True, (2, [3, {4: {5}}])]",
       List{1, 1.5, "x", bytes_of("y"), nullptr, true, Tuple{2, List{3, Dict{{4, Set{5}}}}}}},
      {"['same'] * 3", List{"same", "same", "same"}},
      {"['x' * 300] * 2", List{std::string(300, 'x'), std::string(300, 'x')}},
  };
  for (const unsigned exponent : {7u, 8u, 15u, 16u, 31u, 32u, 62u, 63u, 64u, 65u, 127u, 2031u, 2040u, 20'000u}) {
    const std::string power = "2**" + std::to_string(exponent);
    for (const int plus : {-1, 0, 1}) {
      const std::string rest = plus < 0 ? "-1" : plus > 0 ? "+1" : "";
      all.push_back({power + rest, power_of_two(exponent, false, plus)});
      all.push_back({"-" + power + rest, power_of_two(exponent, true, plus)});
    }
  }
  return all;
}

TEST_P(Items, every_type_arrives_as_it_was_sent) {
  Gateway gateway = start();
  Channel echo = gateway.remote_exec("for item in channel: channel.send(item)");
  Channel eval = gateway.remote_exec("for text in channel: channel.send(eval(text))");
  Channel same = gateway.remote_exec(R"(
        def shape(x):  # equal is not enough: 1 == True == 1.0
            if isinstance(x, dict):
                return dict, [(shape(k), shape(v)) for k, v in x.items()]
            if isinstance(x, (set, frozenset)):
                return type(x), sorted((repr(shape(i)) for i in x))
            if isinstance(x, (list, tuple)):
                return type(x), [shape(i) for i in x]
            return type(x), x if isinstance(x, int) else repr(x)
        for text in channel:
            item = channel.receive()
            channel.send(shape(item) == shape(eval(text)))
      )");
  for (const auto& [python, value] : samples()) {
    SCOPED_TRACE(python);
    echo.send(value);
    const Value back = take(echo);
    EXPECT_EQ(back, value);
    EXPECT_EQ(back.kind(), value.kind());
    eval.send(python);
    const Value made = take(eval);
    EXPECT_EQ(made, value);
    EXPECT_EQ(made.kind(), value.kind());
    same.send(python);
    same.send(value);
    EXPECT_EQ(take(same), true);
  }
}

TEST_P(Items, not_a_number_and_signs_of_zero_survive) {
  Channel channel = start().remote_exec("for item in channel: channel.send(item)");
  channel.send(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(std::isnan(take<double>(channel)));
  channel.send(-0.0);
  EXPECT_TRUE(std::signbit(take<double>(channel)));
  channel.send(std::complex<double>(-0.0, std::numeric_limits<double>::quiet_NaN()));
  const auto back = take(channel).as_complex();
  EXPECT_TRUE(std::signbit(back.real()));
  EXPECT_TRUE(std::isnan(back.imag()));
}

TEST_P(Items, dict_keeps_its_order) {
  const Value item = ask(start(), "channel.send({k: None for k in ('z', 'a', 5, 'm', 1)})");
  std::vector<Value> keys;
  for (const auto& [key, value] : item.as_dict()) keys.push_back(key);
  EXPECT_EQ(keys, (List{"z", "a", 5, "m", 1}));
}

TEST_P(Items, deep_nesting_arrives) {
  Channel channel = start().remote_exec("for item in channel: channel.send(item)");
  Value deep = 1;
  for (int i = 0; i < 200; ++i) deep = i % 2 != 0 ? Value(List{std::move(deep)}) : Value(Tuple{std::move(deep)});
  channel.send(deep);
  EXPECT_EQ(take(channel), deep);
}

TEST_P(Items, nesting_beyond_the_limit_is_refused_at_the_sender) {
  Channel channel = start().remote_exec(R"(
        deep = []
        for i in range(100000):
            deep = [deep]
        cyclic = []
        cyclic.append(cyclic)
        for bad in (deep, cyclic):
            try:
                channel.send(bad)
            except Exception as error:
                channel.send((type(error).__name__, str(error)))
        while deep:  # without recursion
            deep = deep[0]
        channel.send(channel.receive())
      )");
  for (int i = 0; i < 2; ++i) {
    const auto [type, text] = take<std::pair<std::string, std::string>>(channel);
    EXPECT_EQ(type, "DumpError");
    EXPECT_THAT(text, HasSubstr("can't serialize"));
  }
  Value deep = 1;
  for (int i = 0; i < 1'100; ++i) deep = List{std::move(deep)};
  EXPECT_THROW(channel.send(deep), DumpError);
  channel.send(1);
  EXPECT_EQ(take<int>(channel), 1);
}

TEST_P(Items, long_collections_arrive) {
  Channel channel = start().remote_exec("for item in channel: channel.send(item)");
  List list;
  Dict dict;
  for (int i = 0; i < 50'000; ++i) {
    list.push_back(i % 3 == 0 ? Value("text " + std::to_string(i)) : Value(i));
    dict[i] = std::to_string(i);
  }
  channel.send(Value(list));
  channel.send(Value(dict));
  EXPECT_EQ(take(channel), list);
  EXPECT_EQ(take(channel), dict);
}

TEST_P(Items, huge_ints_arrive_up_to_the_limit) {
  Channel channel = start().remote_exec("for item in channel: channel.send(item)");
  const Value large = power_of_two(8 * 1024 * 1024 - 9);
  channel.send(large);
  EXPECT_EQ(take(channel), large);
  EXPECT_THROW(channel.send(power_of_two(8 * 1024 * 1024 + 8)), DumpError);
  const Value bad = ask(start(), R"(
        try:
            channel.send(1 << 8 * 1024 * 1024 + 8)
        except Exception as error:
            channel.send((type(error).__name__, str(error)))
      )");
  EXPECT_EQ(bad.as_tuple().at(0), "DumpError");
  EXPECT_THAT(bad.as_tuple().at(1).as_str(), HasSubstr("can't serialize"));
}

TEST_P(Items, what_is_no_item_is_refused_at_the_far_sender_and_the_channel_is_unharmed) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import collections, decimal, enum, datetime
        class Number(enum.IntEnum):
            one = 1
        class Text(str): pass
        class Plain: pass
        class Sneaky:
            def __reduce__(self): return (list, ())
        Point = collections.namedtuple("Point", "x y")
        bad = [int, Plain, Plain(), Sneaky(), len, lambda: 0, range(3), iter([]),
               Number.one, Text("t"), Point(1, 2), collections.OrderedDict(a=1), collections.deque(), object(),
               collections, ValueError("x"), decimal.Decimal(1), datetime.date(2020, 1, 1),
               slice(1), Ellipsis, NotImplemented, type(None), channel.gateway, channel.gateway.execmodel,
               "\ud800", "ok \udcff", (i for i in ())]
        wrong = []
        for item in bad:
            for shape in (item, [1, item], {"k": item}, ("x", (item,)), [[[item]]]):
                try:
                    channel.send(shape)
                    wrong.append("sent: %r" % (shape,))
                except Exception as error:
                    if type(error).__name__ != "DumpError" or "can't serialize" not in str(error):
                        wrong.append("%r: %r" % (shape, error))
        channel.send(("end", wrong))
      )");
  EXPECT_EQ(take(channel), (Tuple{"end", List{}}));
  channel.waitclose(patience);
}

TEST_P(Items, refused_item_that_nobody_catches_ends_the_task) {
  EXPECT_THAT(remote_error(start().remote_exec("channel.send(object())")),
              AllOf(HasSubstr("DumpError"), HasSubstr("can't serialize"), HasSubstr("object")));
}

TEST_P(Items, surrogates_and_bad_text_are_refused_here) {
  Channel channel = start().remote_exec("for item in channel: channel.send(item)");
  for (const std::string& bad : {std::string("\xed\xa0\x80"), std::string("\xff"), std::string("a\xc3")}) {
    EXPECT_THROW(channel.send(bad), DumpError);
    EXPECT_THROW(channel.send(Value(List{1, bad})), DumpError);
  }
  channel.send("good");
  EXPECT_EQ(take(channel), "good");
}

TEST_P(Items, max_item_holds_on_both_sides) {
  Gateway gateway = start("max_item=100000");
  Channel channel = gateway.remote_exec(R"(
        channel.send(len(channel.receive()))
        channel.send(b"x" * 100000)
        for bad in (b"x" * 100001, "x" * 100001, ["x" * 100001], list(range(100000))):
            try:
                channel.send(bad)
            except Exception as error:
                channel.send(type(error).__name__)
        channel.send(channel.receive())
      )");
  EXPECT_THROW(channel.send(zeros(100'001)), DumpError);
  EXPECT_THROW(channel.send(List{std::string(100'001, 'x')}), DumpError);
  channel.send(zeros(100'000));
  EXPECT_EQ(take<int>(channel), 100'000);
  EXPECT_EQ(take(channel).as_bytes().size(), 100'000u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(take(channel), "DumpError");
  channel.send(true);
  EXPECT_EQ(take(channel), true);
}

TEST_P(Items, an_array_is_an_error_of_its_receiver_and_harms_nothing) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec(R"(
        import array
        values = array.array("d", [0.5, 1.5])
        for item in (values, [values], values.tolist(), values.tobytes()):
            channel.send(item)
      )");
  for (int i = 0; i < 2; ++i) {
    try {
      ADD_FAILURE() << "received " << take(channel);
    } catch (const LoadError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("array"), HasSubstr("tolist()")));
    }
  }
  EXPECT_EQ(take(channel), (List{0.5, 1.5}));
  EXPECT_EQ(take(channel).as_bytes().size(), 16U);
  channel.waitclose();
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

}  // namespace
}  // namespace gangway::test
