#include "core/item_codec.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/pickle_encoder.hpp"
#include "tests/support/hex.hpp"

namespace gangway::detail {
namespace {

using gangway::testing::hex;
using gangway::testing::to_hex;

Value big(const char* digits) { return BigInt::from_decimal(digits); }

Bytes stream(std::string_view body) { return hex("80 04 " + std::string(body)); }

Bytes repeated(std::string_view body, std::size_t count) {
  Bytes result;
  for (std::size_t i = 0; i < count; ++i) result.append(hex(body));
  return result;
}

Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes result;
  for (const Bytes& part : parts) result.append(part);
  return result;
}

boost::system::error_code load_error(const Bytes& bytes, ChannelTable* channels = nullptr) {
  try {
    (void)decode_pickle(bytes, channels);
  } catch (const LoadError& error) {
    return error.code();
  }
  return {};
}

std::string load_text(const Bytes& bytes) {
  try {
    (void)decode_pickle(bytes);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "no error";
}

template <class Function>
boost::system::error_code dump_error(Function&& function) {
  try {
    function();
  } catch (const DumpError& error) {
    return error.code();
  }
  return {};
}

// Equal, and of the same kinds: 1 is not 1.0 here, and NaN is NaN.
void expect_same(const Value& a, const Value& b) { EXPECT_EQ(to_hex(encode_pickle(a)), to_hex(encode_pickle(b))); }

class Channels final : public ChannelTable {
 public:
  std::uint32_t id_of(const ChannelRef& channel) override {
    if (channel.object != mine) throw DumpError(errc::bad_channel, "not of this connection");
    return channel.id;
  }
  ChannelRef channel(std::uint32_t id) override {
    if (!open.contains(id)) throw LoadError(errc::bad_channel, "not open");
    return {id, mine};
  }

  std::shared_ptr<int> mine = std::make_shared<int>();
  std::set<std::uint32_t> open{3, 200, 70'000, 0x7fff'ffff, 0xffff'ffff};
};

struct Row {
  Value value;
  const char* body;  // after PROTO
};

std::vector<Row> rows() {
  return {
      {nullptr, "'N.'"},
      {true, "88 '.'"},
      {false, "89 '.'"},
      {0, "'K' 00 '.'"},
      {255, "'K' ff '.'"},
      {256, "'M' 00 01 '.'"},
      {65535, "'M' ff ff '.'"},
      {65536, "'J' 00 00 01 00 '.'"},
      {-1, "'J' ff ff ff ff '.'"},
      {2147483647, "'J' ff ff ff 7f '.'"},
      {std::int64_t{-2147483648}, "'J' 00 00 00 80 '.'"},
      {std::int64_t{2147483648}, "8a 05 00 00 00 80 00 '.'"},
      {std::int64_t{-2147483649}, "8a 05 ff ff ff 7f ff '.'"},
      {std::int64_t{1} << 40, "8a 06 00 00 00 00 00 01 '.'"},
      {std::numeric_limits<std::int64_t>::max(), "8a 08 ff ff ff ff ff ff ff 7f '.'"},
      {std::numeric_limits<std::int64_t>::min(), "8a 08 00 00 00 00 00 00 00 80 '.'"},
      {big("9223372036854775808"), "8a 09 00 00 00 00 00 00 00 80 00 '.'"},
      {big("-9223372036854775809"), "8a 09 ff ff ff ff ff ff ff 7f ff '.'"},
      {1.0, "'G' 3f f0 00 00 00 00 00 00 '.'"},
      {-0.0, "'G' 80 00 00 00 00 00 00 00 '.'"},
      {std::complex<double>(1, -2),
       "8c 08 'builtins' 8c 07 'complex' 93 'G' 3f f0 00 00 00 00 00 00 'G' c0 00 00 00 00 00 00 00 86 'R.'"},
      {"", "8c 00 '.'"},
      {"h\xc3\xa4", "8c 03 'h' c3 a4 '.'"},
      {"builtins", "8c 08 'builtins' '.'"},
      {Bytes(""), "'C' 00 '.'"},
      {Bytes("\xff"), "'C' 01 ff '.'"},
      {List{}, "'].'"},
      {List{Value(1)}, "']K' 01 'a.'"},
      {List{1, 2}, "'](K' 01 'K' 02 'e.'"},
      {List{"builtins", "complex"}, "'](' 8c 08 'builtins' 8c 07 'complex' 'e.'"},
      {Tuple{}, "').'"},
      {Tuple{1}, "'K' 01 85 '.'"},
      {Tuple{1, 2}, "'K' 01 'K' 02 86 '.'"},
      {Tuple{1, 2, 3}, "'K' 01 'K' 02 'K' 03 87 '.'"},
      {Tuple{1, 2, 3, 4}, "'(K' 01 'K' 02 'K' 03 'K' 04 't.'"},
      {Dict{}, "'}.'"},
      {Dict{{1, 2}}, "'}K' 01 'K' 02 's.'"},
      {Dict{{1, 2}, {"a", nullptr}}, "'}(K' 01 'K' 02 8c 01 'aNu.'"},
      {Set{}, "8f '.'"},
      {Set{1, 2}, "8f '(K' 01 'K' 02 90 '.'"},
      {FrozenSet{}, "'(' 91 '.'"},
      {FrozenSet{1}, "'(K' 01 91 '.'"},
      {List{Dict{{"a", Tuple{1, Set{Tuple{}}}}}, FrozenSet{Value(FrozenSet{})}},
       "'](}' 8c 01 'aK' 01 8f '()' 90 86 's((' 91 91 'e.'"},
  };
}

TEST(ItemCodec, pickle_streams_are_exact_to_the_byte) {
  for (const Row& row : rows()) {
    EXPECT_EQ(to_hex(encode_pickle(row.value)), to_hex(stream(row.body))) << row.value;
    const Value decoded = decode_pickle(stream(row.body));
    EXPECT_EQ(decoded, row.value);
    EXPECT_EQ(decoded.kind(), row.value.kind());
    expect_same(decoded, row.value);
  }
}

TEST(ItemCodec, lengths_have_the_smallest_field) {
  const std::pair<std::size_t, const char*> texts[] = {
      {255, "8c ff"}, {256, "'X' 00 01 00 00"}, {70'000, "'X' 70 11 01 00"}};
  for (const auto& [size, head] : texts) {
    const std::string text(size, 'x');
    const Bytes expected = joined({stream(head), Bytes(text), hex("'.'")});
    EXPECT_EQ(encode_pickle(text), expected);
    EXPECT_EQ(decode_pickle(expected), Value(text));
  }
  const std::pair<std::size_t, const char*> runs[] = {{255, "'C' ff"}, {256, "'B' 00 01 00 00"}};
  for (const auto& [size, head] : runs) {
    const Bytes run(std::string(size, '\xfe'));
    const Bytes expected = joined({stream(head), run, hex("'.'")});
    EXPECT_EQ(encode_pickle(run), expected);
    EXPECT_EQ(decode_pickle(expected), Value(run));
  }
  const Value long_int = BigInt::from_bytes(repeated("01", 256));
  EXPECT_EQ(encode_pickle(long_int), joined({stream("8b 00 01 00 00"), repeated("01", 256), hex("'.'")}));
  EXPECT_EQ(decode_pickle(encode_pickle(long_int)), long_int);
}

TEST(ItemCodec, other_spellings_of_the_same_are_read) {
  const Row others[] = {
      {5, "'M' 05 00 '.'"},
      {5, "'J' 05 00 00 00 '.'"},
      {5, "8a 01 05 '.'"},
      {0, "8a 00 '.'"},
      {0, "8b 00 00 00 00 '.'"},
      {5, "8a 0a 05 00 00 00 00 00 00 00 00 00 '.'"},
      {-5, "8b 0a 00 00 00 fb ff ff ff ff ff ff ff ff ff '.'"},
      {"a", "'X' 01 00 00 00 'a.'"},
      {"a", "8d 01 00 00 00 00 00 00 00 'a.'"},
      {Bytes("a"), "'B' 01 00 00 00 'a.'"},
      {Bytes("a"), "8e 01 00 00 00 00 00 00 00 'a.'"},
      {List{}, "'](e.'"},
      {List{1, 2, 3}, "']K' 01 'a(K' 02 'K' 03 'e.'"},
      {Dict{}, "'}(u.'"},
      {Dict{{1, 2}, {3, 4}}, "'}K' 01 'K' 02 's(K' 03 'K' 04 'u.'"},
      {Set{}, "8f '(' 90 '.'"},
      {Tuple{}, "'(t.'"},
      {Tuple{1}, "'(K' 01 't.'"},
      {nullptr, "95 01 00 00 00 00 00 00 00 'N' 95 00 00 00 00 00 00 00 00 '.'"},
      {std::complex<double>(0, 0),
       "'X' 08 00 00 00 'builtins' 95 00 00 00 00 00 00 00 00 8c 07 'complex' 93 'G' 00 00 00 00 00 00 00 00 95 00 00 "
       "00 "
       "00 00 00 00 00 'G' 00 00 00 00 00 00 00 00 86 95 00 00 00 00 00 00 00 00 'R.'"},
  };
  for (const Row& row : others) expect_same(decode_pickle(stream(row.body)), row.value);
}

TEST(ItemCodec, the_last_of_equal_keys_wins) {
  expect_same(decode_pickle(stream("'}(K' 01 'K' 05 'G' 3f f0 00 00 00 00 00 00 'K' 06 88 'K' 07 'u.'")), Dict{{1, 7}});
  expect_same(decode_pickle(stream("8f '(K' 01 'G' 3f f0 00 00 00 00 00 00 88 90 '.'")), Set{1});
  EXPECT_EQ(decode_pickle(stream("'}(G' 7f f8 00 00 00 00 00 00 'NG' 7f f8 00 00 00 00 00 00 'Nu.'")).as_dict().size(),
            2U);
  const Value alike = Dict{{"abc", 1}, {"aBc", 2}, {"", 3}, {"ac", 4}, {5, 5}, {"a5c", 6}};
  expect_same(decode_pickle(encode_pickle(alike)), alike);
  expect_same(decode_pickle(stream("'}(' 8c 03 'abcN' 8c 03 'aBcN' 8c 03 'abc' 88 8c 00 'N' 8c 00 89 'u.'")),
              Dict{{"abc", true}, {"aBc", nullptr}, {"", false}});
  Bytes many = stream("'}('");
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 256; ++i) {
      many.append(hex("'K'"));
      many.push_back(static_cast<std::byte>(i));
      many.append(round == 0 ? hex("88") : hex("'N'"));
    }
  }
  many.append(hex("'u.'"));
  const Value dict = decode_pickle(many);
  EXPECT_EQ(dict.as_dict().size(), 256U);
  for (const auto& [key, value] : dict.as_dict()) EXPECT_TRUE(value.is_none()) << key;
}

TEST(ItemCodec, raw_items_have_a_kind_of_their_own) {
  Bytes scratch;
  const Value bytes = Bytes("abc");
  const EncodedItem raw = encode_item(bytes, scratch, nullptr);
  EXPECT_EQ(raw.kind, ItemKind::bytes);
  EXPECT_EQ(raw.payload.data(), bytes.as_bytes().data());  // no copy
  const Value text = "h\xc3\xa4llo, a text that is long enough to be on the heap";
  const EncodedItem str = encode_item(text, scratch, nullptr);
  EXPECT_EQ(str.kind, ItemKind::str);
  EXPECT_EQ(static_cast<const void*>(str.payload.data()), text.as_str().data());
  const EncodedItem integer = encode_item(-2, scratch, nullptr);
  EXPECT_EQ(integer.kind, ItemKind::integer);
  EXPECT_EQ(to_hex(Bytes(integer.payload)), "fe ff ff ff ff ff ff ff");
  for (const Value& value : List{nullptr, true, 1.5, List{1, 2}, big("9223372036854775808")}) {
    EXPECT_EQ(encode_item(value, scratch, nullptr).kind, ItemKind::pickle);
  }
  for (const Value& value : List{nullptr, true, -7, 1.5, "text", Bytes("bytes"), List{1, 2}, Dict{{1, 2}}}) {
    const EncodedItem item = encode_item(value, scratch, nullptr);
    expect_same(decode_item(item.kind, item.payload, nullptr), value);
    expect_same(decode_item(item.kind, Bytes(item.payload), nullptr), value);
  }
}

TEST(ItemCodec, a_bytes_item_takes_its_payload_over) {
  Bytes payload("some bytes");
  const std::byte* const data = payload.data();
  EXPECT_EQ(decode_item(ItemKind::bytes, std::move(payload), nullptr).as_bytes().data(), data);
}

TEST(ItemCodec, raw_items_are_checked) {
  const auto code = [](ItemKind kind, const Bytes& payload) -> boost::system::error_code {
    try {
      (void)decode_item(kind, payload, nullptr);
    } catch (const LoadError& error) {
      return error.code();
    }
    return {};
  };
  EXPECT_EQ(code(ItemKind::integer, hex("00 00 00 00 00 00 00")), errc::bad_item);
  EXPECT_EQ(code(ItemKind::integer, hex("00 00 00 00 00 00 00 00 00")), errc::bad_item);
  EXPECT_EQ(code(ItemKind::integer, hex("")), errc::bad_item);
  EXPECT_EQ(code(ItemKind::str, hex("'abc' ff")), errc::bad_text);
  EXPECT_EQ(code(ItemKind::str, hex("ed a0 80")), errc::bad_text);
  EXPECT_EQ(code(ItemKind::str, hex("'nul' 00")), boost::system::error_code());
  EXPECT_EQ(code(static_cast<ItemKind>(9), hex("")), errc::bad_item);
  EXPECT_EQ(code(ItemKind::exec, stream("'}.'")), boost::system::error_code());
}

TEST(ItemCodec, a_stream_that_is_cut_anywhere_is_refused) {
  for (const Row& row : rows()) {
    const Bytes whole = stream(row.body);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_EQ(load_error(Bytes(whole.span().first(size))), errc::bad_item) << row.value << " cut to " << size;
    }
    EXPECT_EQ(load_error(joined({whole, hex("00")})), errc::bad_item) << row.value;
  }
}

TEST(ItemCodec, every_other_opcode_is_refused) {
  const std::string_view allowed = "NKMJGXCB(]ae)t}su.h\x88\x89\x8a\x8b\x8c\x8d\x8e\x85\x86\x87\x8f\x90\x91\x95";
  for (unsigned opcode = 0; opcode < 256; ++opcode) {
    if (allowed.find(static_cast<char>(opcode)) != std::string_view::npos) continue;
    Bytes bytes = stream("'N'");
    bytes.push_back(static_cast<std::byte>(opcode));
    bytes.append(hex("01 00 00 00 00 00 00 00 0a 0a '.'"));
    EXPECT_EQ(load_error(bytes), errc::bad_item) << opcode;
    EXPECT_NE(load_text(bytes).find("is not allowed, at byte 3"), std::string::npos) << opcode << load_text(bytes);
  }
}

// Each needs something on the stack that is not there, or is of another kind.
TEST(ItemCodec, a_stack_that_does_not_fit_is_refused) {
  const char* const bodies[] = {
      "'.'",         "'NN.'",           "'(.'",        "'N(.'",         "'(N.'",      "'a.'",   "'Na.'",
      "'NNa.'",      "'](a.'",          "']N(a.'",     "'](Na.'",       "'e.'",       "'N(e.'", "'(Ne.'",
      "'(e.'",       "'}(NNe.'",        "'](NNu.'",    "'s.'",          "'Ns.'",      "'NNs.'", "'NNNs.'",
      "'}Ns.'",      "'}(NNs.'",        "'](NNs.'",    "'}(Nu.'",       "'}(NNNu.'",  "'u.'",   "'(u.'",
      "90 '.'",      "']' '(N' 90 '.'", "8f '(Ne.'",   "91 '.'",        "'N' 91 '.'", "85 '.'", "'(' 85 '.'",
      "'N' 86 '.'",  "'N(N' 86 '.'",    "'NN' 87 '.'", "'N(NN' 87 '.'", "'t.'",       "'Nt.'",  "')(Ne.'",
      "'](N((Net.'", "'N' 80 04 '.'",
  };
  for (const char* const body : bodies) EXPECT_EQ(load_error(stream(body)), errc::bad_item) << body;
}

TEST(ItemCodec, other_headers_are_refused) {
  for (const char* const bytes : {"", "80", "80 03 'N.'", "80 05 'N.'", "'N.'", "'cos' 0a 'system' 0a", "00 04 'N.'"}) {
    EXPECT_EQ(load_error(hex(bytes)), errc::bad_item) << bytes;
  }
}

TEST(ItemCodec, counts_are_not_trusted_beyond_the_bytes_that_are_left) {
  const char* const bodies[] = {
      "'X' ff ff ff ff 'a.'",
      "'X' 03 00 00 00 'a.'",
      "8d ff ff ff ff ff ff ff ff 'a.'",
      "8d 00 00 00 00 00 00 00 80 'a.'",
      "8e ff ff ff ff ff ff ff 7f '.'",
      "'B' ff ff ff 7f '.'",
      "8b ff ff 0f 00 '.'",
      "8a ff '.'",
      "8c ff '.'",
      "'C' 05 '.'",
      "95 ff ff ff ff ff ff ff ff 'N.'",
      "95 03 00 00 00 00 00 00 00 'N.'",
  };
  for (const char* const body : bodies) EXPECT_EQ(load_error(stream(body)), errc::bad_item) << body;
  EXPECT_EQ(load_text(stream("'NNX' 03 00 00 00 'a.'")), "bad item: 3 bytes are announced and 2 are left, at byte 4");
}

TEST(ItemCodec, ints_end_at_one_mebibyte) {
  constexpr std::size_t most = limits::int_bytes;
  Bytes digits = repeated("11", most);
  const Value largest = BigInt::from_bytes(digits);
  EXPECT_EQ(decode_pickle(encode_pickle(largest)), largest);
  digits.push_back(std::byte{0x11});
  const Value over = BigInt::from_bytes(digits);
  EXPECT_EQ(dump_error([&] { (void)encode_pickle(over); }), errc::item_too_large);
  EXPECT_EQ(load_error(joined({stream("8b 01 00 10 00"), digits, hex("'.'")})), errc::item_too_large);
  EXPECT_EQ(load_error(stream("8b 00 00 00 80 '.'")), errc::item_too_large);  // negative
  EXPECT_EQ(load_error(stream("8b ff ff ff ff '.'")), errc::item_too_large);
}

TEST(ItemCodec, nesting_ends_at_a_thousand_in_both_directions) {
  for (const int depth : {1000, 1001}) {
    Value lists = List{};
    Value tuples = Tuple{};
    Value dicts = Dict{};
    Value sets = FrozenSet{};
    for (int i = 1; i < depth; ++i) {
      List list;
      list.push_back(std::move(lists));
      lists = std::move(list);
      List items;
      items.push_back(std::move(tuples));
      tuples = Tuple(std::move(items));
      Dict dict;
      dict[1] = std::move(dicts);
      dicts = std::move(dict);
      Set set;
      set.insert(std::move(sets));
      sets = FrozenSet(std::move(set));
    }
    for (const Value& value : {std::cref(lists), std::cref(tuples), std::cref(dicts), std::cref(sets)}) {
      if (depth == 1000) {
        EXPECT_EQ(decode_pickle(encode_pickle(value)), value);
      } else {
        EXPECT_EQ(dump_error([&] { (void)encode_pickle(value); }), errc::too_deep);
      }
    }
  }
  const std::pair<const char*, const char*> deep[] = {
      {"']'", "'a'"}, {"", "85"}, {"'('", "91"}, {"'('", "'t'"}, {"'}N'", "'s'"}};
  for (const auto& [open, close] : deep) {
    const Bytes begin = joined({stream(""), repeated(open, 999), hex("')'")});
    const Bytes fits = joined({begin, repeated(close, 999), hex("'.'")});
    EXPECT_EQ(load_error(fits), boost::system::error_code()) << close << load_text(fits);
    const Bytes over = joined({stream(""), repeated(open, 1000), hex("')'"), repeated(close, 1000), hex("'.'")});
    EXPECT_EQ(load_error(over), errc::too_deep) << close;
  }
}

TEST(ItemCodec, a_hundred_thousand_levels_are_an_error_and_no_crash) {
  EXPECT_EQ(load_error(joined({stream(""), repeated("']'", 100'000), repeated("'a'", 99'999), hex("'.'")})),
            errc::too_deep);
  EXPECT_EQ(load_error(joined({stream("'N'"), repeated("85", 100'000), hex("'.'")})), errc::too_deep);
  EXPECT_EQ(load_error(joined({stream(""), repeated("'('", 100'000), repeated("'t'", 100'000), hex("'.'")})),
            errc::too_deep);
  EXPECT_EQ(load_error(joined({stream(""), repeated("'('", 100'000)})), errc::bad_item);
}

TEST(ItemCodec, texts_must_be_utf8) {
  for (const char* const text : {"ff", "c0 80", "ed a0 80", "ed bf bf", "f4 90 80 80", "80", "e2 82"}) {
    const Bytes bad = hex(text);
    Bytes bytes = stream("8c");
    bytes.push_back(static_cast<std::byte>(bad.size()));
    bytes.append(bad);
    bytes.append(hex("'.'"));
    EXPECT_EQ(load_error(bytes), errc::bad_text) << text;
    EXPECT_NE(load_text(bytes).find("at byte 4"), std::string::npos) << load_text(bytes);
    Bytes scratch;
    const Value value = std::string(bad.view());
    EXPECT_EQ(dump_error([&] { (void)encode_item(value, scratch, nullptr); }), errc::bad_text);
    EXPECT_EQ(dump_error([&] { (void)encode_pickle(List{1, value}); }), errc::bad_text);
  }
}

TEST(ItemCodec, what_is_not_hashable_is_no_key_and_no_member) {
  const char* const bodies[] = {
      "'}]Ns.'",          "'}}Ns.'",          "'}' 8f 'Ns.'",      "'}(]Nu.'",      "'}(NN]Nu.'",
      "8f '(]' 90 '.'",   "8f '(N}' 90 '.'",  "'(]' 91 '.'",       "'(' 8f 91 '.'", "'}]' 85 'Ns.'",
      "'}]' 85 85 'Ns.'", "'(NN]' 87 91 '.'", "8f '((N]t' 90 '.'",
  };
  for (const char* const body : bodies) EXPECT_EQ(load_error(stream(body)), errc::bad_item) << body;
  EXPECT_EQ(load_error(stream("'}N]s.'")), boost::system::error_code());
  EXPECT_EQ(load_error(stream("'}(' 91 85 'Ns.'")), boost::system::error_code());
}

TEST(ItemCodec, short_texts_that_repeat_are_written_by_number) {
  const Value texts = List{"ab", "cd", "ab", "ab", "cd", "ab", "cd"};
  const Bytes by_number = stream("'](' 8c 02 'ab' 8c 02 'cd' 8c 02 'ab' 94 'h' 00 8c 02 'cd' 94 'h' 00 'h' 01 'e.'");
  EXPECT_EQ(to_hex(encode_pickle(texts)), to_hex(by_number));
  EXPECT_EQ(decode_pickle(by_number), texts);

  const std::string longest(limits::memo_text_bytes, 'x');
  const std::string longer(limits::memo_text_bytes + 1, 'x');
  const Bytes long_ones = encode_pickle(List{longest, longest, longest, longest});
  EXPECT_LT(long_ones.size(), 3 * longest.size());
  EXPECT_EQ(decode_pickle(long_ones), Value(List{longest, longest, longest, longest}));
  const Bytes longer_ones = encode_pickle(List{longer, longer, longer, longer});
  EXPECT_GT(longer_ones.size(), 4 * longer.size());
  EXPECT_EQ(decode_pickle(longer_ones), Value(List{longer, longer, longer, longer}));
}

// More texts than there are numbers, in an order that makes them drive each other out.
TEST(ItemCodec, any_mixture_of_texts_travels) {
  List texts;
  for (int i = 0; i < 20'000; ++i) {
    texts.push_back("key " + std::to_string(i * 31 % 977));
    texts.push_back(std::string(static_cast<std::size_t>(i % 70), static_cast<char>('a' + i % 3)));
    texts.push_back(i % 2 == 0 ? "builtins" : "complex");
    texts.push_back("h\xc3\xa4" + std::to_string(i % 5));
    texts.push_back(Dict{{"id", i}, {"unique " + std::to_string(i), "complex"}});
  }
  EXPECT_EQ(decode_pickle(encode_pickle(texts)), Value(texts));
}

TEST(ItemCodec, numbers_of_texts_are_checked) {
  EXPECT_EQ(decode_pickle(stream("'(' 8c 01 'a' 94 'X' 01 00 00 00 'b' 94 'h' 01 'h' 00 't.'")),
            Value(Tuple{"a", "b", "b", "a"}));
  EXPECT_EQ(decode_pickle(stream("'}(' 8c 01 'a' 94 'h' 00 'h' 00 'h' 00 'u.'")), Value(Dict{{"a", "a"}}));
  const char* const bodies[] = {
      "'h' 00 '.'",
      "'h'",
      "'(' 8c 01 'a' 'h' 00 't.'",
      "'(' 8c 01 'a' 94 'h' 01 't.'",
      "'(' 8c 01 'a' 94 'h' ff 't.'",
      "'(' 8c 01 'a' 94 94 't.'",
      "'(' 8c 01 'a' 94 'h' 00 94 't.'",
      "'(' 8c 01 'a' 94 'j' 00 00 00 00 't.'",
      "'(' 8c 01 'a' 'q' 00 'h' 00 't.'",
      "'(' 8c 01 'a' 95 00 00 00 00 00 00 00 00 94 't.'",
      "'](' 94 'h' 00 'e.'",
      "']' 94 'h' 00 'a.'",
      "'(' 'C' 01 'a' 94 'h' 00 't.'",
      "'(K' 01 94 'h' 00 't.'",
      "'(' 8c 08 'builtins' 94 8c 07 'complex' 93 't.'",
  };
  for (const char* const body : bodies) EXPECT_EQ(load_error(stream(body)), errc::bad_item) << body;

  const Bytes most = joined({stream("'('"), repeated("8c 01 'a' 94", limits::memo_texts)});
  EXPECT_EQ(load_error(joined({most, hex("'h' ff 't.'")})), boost::system::error_code());
  EXPECT_NE(load_text(joined({most, hex("8c 01 'a' 94 't.'")})).find("more texts to repeat than 256"),
            std::string::npos);
}

// What two bytes of a stream become is bounded by the length of a text that has a number.
TEST(ItemCodec, long_texts_get_no_number) {
  const auto numbered = [](std::size_t size) {
    Bytes body = stream("'(X'");
    for (int i = 0; i < 4; ++i) body.push_back(static_cast<std::byte>(size >> (8 * i)));
    return joined({body, repeated("'x'", size), hex("94 'h' 00 't.'")});
  };
  EXPECT_EQ(load_error(numbered(limits::memo_text_bytes)), boost::system::error_code());
  EXPECT_EQ(load_error(numbered(limits::memo_text_bytes + 1)), errc::bad_item);
  EXPECT_EQ(load_error(numbered(100'000)), errc::bad_item);
}

// What makes pickle dangerous: globals, calls, persistent ids, extensions, memo.
TEST(ItemCodec, globals_are_refused) {
  const char* const bodies[] = {
      "8c 02 'os' 8c 06 'system' 93 8c 04 'true' 85 'R.'",
      "'cos' 0a 'system' 0a 8c 04 'true' 85 'R.'",
      "8c 08 'builtins' 8c 04 'eval' 93 8c 01 '1' 85 'R.'",
      "8c 08 'builtins' 8c 07 'complex' 93 '.'",
      "8c 08 'builtins' 8c 07 'complex' 93 ')R.'",
      "8c 08 'builtins' 8c 07 'complex' 93 'K' 01 'K' 02 86 'R.'",
      "8c 08 'builtins' 8c 07 'complex' 93 'G' 00 00 00 00 00 00 00 00 85 'R.'",
      "8c 08 'builtins' 8c 07 'complex' 93 'G' 00 00 00 00 00 00 00 00 'G' 00 00 00 00 00 00 00 00 86 '.'",
      "8c 08 'builtins' 8c 07 'complex' 93 'G' 00 00 00 00 00 00 00 00 'G' 00 00 00 00 00 00 00 00 86 81 '.'",
      "8c 08 'builtins' 8c 07 'complex' 93 8c 01 '1' 85 'R.'",
      "8c 08 'builtins' 'N0' 8c 07 'complex' 93 'G' 00 00 00 00 00 00 00 00 'G' 00 00 00 00 00 00 00 00 86 'R.'",
      "'NN' 93 '.'",
      "93 '.'",
      "'R.'",
      "'NNR.'",
      "'N)R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 'K' 03 85 'R.'",  // no connection, so no channels
      "8c 08 '_gangway' 8c 07 'complex' 93 'K' 03 85 'R.'",
      "'I' '1' 0a '.'",
      "'Pid' 0a '.'",
      "'NQ.'",
      "82 01 '.'",
      "94 '.'",
      "'Nq' 00 'h' 00 '.'",
      "'N' 94 'h' 00 '.'",
  };
  for (const char* const body : bodies) {
    const auto code = load_error(stream(body));
    EXPECT_TRUE(code == errc::bad_item || code == errc::bad_channel) << body << code.message();
  }
}

TEST(ItemCodec, channels_travel_by_their_id) {
  Channels channels;
  for (const std::uint32_t id : channels.open) {
    const Value value = List{1, ChannelRef{id, channels.mine}};
    EXPECT_EQ(decode_pickle(encode_pickle(value, &channels), &channels), value) << id;
  }
  EXPECT_EQ(to_hex(encode_pickle(ChannelRef{3, channels.mine}, &channels)),
            to_hex(stream("8c 08 '_gangway' 8c 07 'channel' 93 'K' 03 85 'R.'")));
  EXPECT_EQ(decode_pickle(stream("8c 08 '_gangway' 8c 07 'channel' 93 8a 01 03 85 'R.'"), &channels),
            Value(ChannelRef{3, channels.mine}));
  // As a key, as Python's channels can be.
  const Value dict = Dict{{ChannelRef{3, channels.mine}, 1}};
  EXPECT_EQ(decode_pickle(encode_pickle(dict, &channels), &channels), dict);
}

TEST(ItemCodec, a_channel_of_another_connection_is_refused) {
  Channels channels;
  Channels others;
  Bytes scratch;
  const Value foreign = List{ChannelRef{3, others.mine}, 1};
  EXPECT_EQ(dump_error([&] { (void)encode_item(foreign, scratch, &channels); }), errc::bad_channel);
  EXPECT_EQ(dump_error([&] { (void)encode_pickle(foreign); }), errc::bad_channel);
  EXPECT_EQ(load_error(stream("8c 08 '_gangway' 8c 07 'channel' 93 'K' 04 85 'R.'"), &channels), errc::bad_channel);
  const char* const bodies[] = {
      "8c 08 '_gangway' 8c 07 'channel' 93 'J' ff ff ff ff 85 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 8a 05 03 00 00 00 01 85 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 8a 06 03 00 00 00 00 00 85 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 8a 01 ff 85 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 88 85 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 'K' 03 'K' 03 86 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93 8c 01 '3' 85 'R.'",
      "8c 08 '_gangway' 8c 07 'channel' 93",
      "8c 08 '_gangway' 8c 07 'channel' 93 'K' 03 85",
  };
  for (const char* const body : bodies) EXPECT_EQ(load_error(stream(body), &channels), errc::bad_item) << body;
}

TEST(ItemCodec, every_flipped_bit_is_a_value_or_an_error) {
  for (const Row& row : rows()) {
    const Bytes whole = stream(row.body);
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Bytes flipped = whole;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      try {
        const Value value = decode_pickle(flipped);
        expect_same(decode_pickle(encode_pickle(value)), value);
      } catch (const LoadError&) {
      }
    }
  }
}

// 100,000 distinct keys of one kind; with chains in the index this would take minutes.
TEST(ItemCodec, many_keys_take_linear_time) {
  Dict texts;
  Dict tuples;
  Bytes not_numbers = stream("'}('");
  for (int i = 0; i < 100'000; ++i) {
    texts["key " + std::to_string(i)] = i;
    tuples[Tuple{i, FrozenSet{i, 1}}] = i;
    not_numbers.append(hex("'G' 7f f8 00 00 00 00 00 00 'N'"));
  }
  EXPECT_EQ(decode_pickle(encode_pickle(texts)), Value(texts));
  EXPECT_EQ(decode_pickle(encode_pickle(tuples)), Value(tuples));
  not_numbers.append(hex("'u.'"));
  EXPECT_EQ(decode_pickle(not_numbers).as_dict().size(), 100'000U);
}

// A walker as a binding has it, for a list of two things of which one is not an item.
struct ForeignWalker {
  using Node = int;
  using Cursor = int;
  NodeKind kind(int node) const { return node == 0 ? NodeKind::list : node == 1 ? NodeKind::none : NodeKind::other; }
  bool boolean(int) const { return false; }
  std::int64_t integer(int) const { return 0; }
  std::span<const std::byte> big_integer(int) const { return {}; }
  double floating(int) const { return 0; }
  std::complex<double> complex(int) const { return 0; }
  std::string_view str(int) const { return {}; }
  std::span<const std::byte> bytes(int) const { return {}; }
  std::uint32_t channel(int) const { return 0; }
  std::uint32_t str_hash(int) const { return 0; }
  bool same_str(int, int) const { return false; }
  std::string type_name(int) const { return "<class 'Thing'>"; }
  std::size_t size(int) const { return 2; }
  int open(int) const { return 1; }
  bool next(int& cursor, int& node) const {
    node = cursor++;
    return node < 3;
  }
};

TEST(ItemCodec, other_types_are_refused_by_name) {
  ForeignWalker walker;
  Bytes out;
  try {
    PickleEncoder<ForeignWalker>(walker, out).encode(0);
    FAIL();
  } catch (const DumpError& error) {
    EXPECT_EQ(error.code(), errc::cannot_serialize);
    EXPECT_STREQ(error.what(), "can't serialize <class 'Thing'>");
  }
}

TEST(ItemCodec, the_scratch_is_used_again) {
  Bytes scratch;
  Value value = List{1, 2, 3};
  (void)encode_item(value, scratch, nullptr);
  const std::byte* const data = scratch.data();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(encode_item(value, scratch, nullptr).payload.data(), data);
  value = List{1.5};
  EXPECT_EQ(decode_pickle(encode_item(value, scratch, nullptr).payload), value);
}

}  // namespace
}  // namespace gangway::detail
