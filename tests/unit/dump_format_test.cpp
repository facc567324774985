#include <gangway/dump.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <sstream>

#include "core/item_codec.hpp"
#include "tests/support/hex.hpp"

namespace gangway {
namespace {

using gangway::testing::hex;
using gangway::testing::to_hex;

Value big(const char* digits) { return BigInt::from_decimal(digits); }

Bytes document(std::string_view body) { return hex("02 " + std::string(body)); }

boost::system::error_code load_error(const Bytes& bytes, LoadOptions options = {}) {
  boost::system::error_code from_span;
  boost::system::error_code from_stream;
  try {
    (void)loads(bytes, options);
  } catch (const LoadError& error) {
    from_span = error.code();
  }
  try {
    std::istringstream in{std::string(bytes.view())};
    (void)load(in, options);
  } catch (const LoadError& error) {
    from_stream = error.code();
  }
  EXPECT_EQ(from_span, from_stream) << to_hex(bytes);
  return from_span;
}

void expect_same(const Value& a, const Value& b) {
  EXPECT_EQ(to_hex(detail::encode_pickle(a)), to_hex(detail::encode_pickle(b)));
}

struct Row {
  Value value;
  const char* body;
};

std::vector<Row> rows() {
  return {
      {nullptr, "'LQ'"},
      {true, "'RQ'"},
      {false, "'CQ'"},
      {0, "'F' 00 00 00 00 'Q'"},
      {-1, "'F' ff ff ff ff 'Q'"},
      {2147483647, "'F' 7f ff ff ff 'Q'"},
      {std::int64_t{-2147483648}, "'F' 80 00 00 00 'Q'"},
      {std::int64_t{2147483648}, "'H' 00 00 00 0a '2147483648Q'"},
      {std::int64_t{-2147483649}, "'H' 00 00 00 0b '-2147483649Q'"},
      {big("-100000000000000000000"), "'H' 00 00 00 16 '-100000000000000000000Q'"},
      {1.0, "'D' 3f f0 00 00 00 00 00 00 'Q'"},
      {-0.0, "'D' 80 00 00 00 00 00 00 00 'Q'"},
      {std::complex<double>(1, -2), "'T' 3f f0 00 00 00 00 00 00 c0 00 00 00 00 00 00 00 'Q'"},
      {"h\xc3\xa4", "'N' 00 00 00 03 'h' c3 a4 'Q'"},
      {Bytes("\xff"), "'A' 00 00 00 01 ff 'Q'"},
      {List{}, "'K' 00 00 00 00 'Q'"},
      {List{5, "a"}, "'K' 00 00 00 02 'F' 00 00 00 00 'F' 00 00 00 05 'PF' 00 00 00 01 'N' 00 00 00 01 'aPQ'"},
      {Dict{}, "'JQ'"},
      {Dict{{"a", nullptr}, {1, true}}, "'JN' 00 00 00 01 'aLPF' 00 00 00 01 'RPQ'"},
      {Tuple{}, "'@' 00 00 00 00 'Q'"},
      {Tuple{nullptr, true}, "'LR@' 00 00 00 02 'Q'"},
      {Set{1}, "'F' 00 00 00 01 'O' 00 00 00 01 'Q'"},
      {FrozenSet{}, "'E' 00 00 00 00 'Q'"},
      {List{Tuple{List{}, Dict{{Tuple{1}, FrozenSet{nullptr}}}}},
       "'K' 00 00 00 01 'F' 00 00 00 00 'K' 00 00 00 00 'JF' 00 00 00 01 '@' 00 00 00 01 'LE' 00 00 00 01 'P@' 00 00 "
       "00 02 "
       "'PQ'"},
  };
}

TEST(DumpFormat, documents_are_exact_to_the_byte) {
  for (const Row& row : rows()) {
    const Bytes expected = document(row.body);
    EXPECT_EQ(to_hex(dumps(row.value)), to_hex(expected)) << row.value;
    expect_same(loads(expected), row.value);
    std::ostringstream out;
    dump(out, row.value);
    EXPECT_EQ(out.str(), expected.view());
    std::istringstream in(out.str());
    expect_same(load(in), row.value);
  }
}

TEST(DumpFormat, what_python_2_wrote_is_read) {
  expect_same(loads(document("'G' 00 00 00 05 'Q'")), 5);
  expect_same(loads(document("'I' 00 00 00 02 '-5Q'")), -5);
  expect_same(loads(document("'S' 00 00 00 02 c3 a4 'Q'")), "\xc3\xa4");
  expect_same(loads(document("'M' 00 00 00 02 'a' e4 'Q'")), Bytes("a\xe4"));
  expect_same(loads(document("'M' 00 00 00 02 'a' e4 'Q'"), {.py2str_as_py3str = true}), "a\xc3\xa4");
  expect_same(loads(document("'N' 00 00 00 02 c3 a4 'Q'"), {.py3str_as_py2str = true}), Bytes("\xc3\xa4"));
}

TEST(DumpFormat, a_load_consumes_exactly_one_document) {
  std::stringstream stream;
  for (const Row& row : rows()) dump(stream, row.value);
  for (const Row& row : rows()) expect_same(load(stream), row.value);
  EXPECT_EQ(stream.peek(), std::istringstream::traits_type::eof());
  expect_same(loads(document("'LQ' 'what follows'")), nullptr);
}

TEST(DumpFormat, lists_may_have_gaps_and_any_order) {
  expect_same(loads(document("'K' 00 00 00 03 'Q'")), List{nullptr, nullptr, nullptr});
  expect_same(loads(document("'K' 00 00 00 03 'F' 00 00 00 01 'RPQ'")), List{nullptr, true, nullptr});
  expect_same(loads(document("'K' 00 00 00 02 'F' 00 00 00 01 'RPF' 00 00 00 00 'CPQ'")), List{false, true});
  expect_same(loads(document("'K' 00 00 00 01 'F' 00 00 00 00 'RPF' 00 00 00 00 'CPQ'")), List{Value(false)});
  expect_same(loads(document("'K' 00 00 00 02 'K' 00 00 00 01 '@' 00 00 00 02 'Q'")),
              Tuple{List{nullptr, nullptr}, List{Value()}});
}

TEST(DumpFormat, gaps_are_bounded) {
  EXPECT_EQ(load_error(document("'K' 7f ff ff ff 'Q'")), errc::bad_item);
  EXPECT_EQ(load_error(document("'K' 7f ff ff ff 'F' 7f ff ff fe 'LPQ'")), errc::bad_item);
  EXPECT_EQ(loads(document("'K' 00 01 00 00 'Q'")).as_list().size(), 65536U);
  Bytes many = document("");
  for (int i = 0; i < 1000; ++i) many.append(hex("'K' 00 00 ff ff"));
  many.append(hex("'@' 00 00 03 e8 'Q'"));
  EXPECT_EQ(load_error(many), errc::bad_item);
}

TEST(DumpFormat, a_document_that_is_cut_anywhere_is_refused) {
  for (const Row& row : rows()) {
    const Bytes whole = document(row.body);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const auto code = load_error(Bytes(whole.span().first(size)));
      EXPECT_TRUE(code == errc::bad_item || code == errc::end_of_channel) << row.value << " cut to " << size;
    }
  }
  // Where an opcode is due it is the end of the input, as for Python's EOFError.
  EXPECT_EQ(load_error(document("")), errc::end_of_channel);
  EXPECT_EQ(load_error(document("'L'")), errc::end_of_channel);
  EXPECT_EQ(load_error(document("'F' 00 00")), errc::bad_item);
}

TEST(DumpFormat, what_is_no_document_is_refused) {
  const char* const whole[] = {"", "01 'LQ'", "03 'LQ'", "'LQ'", "80 04 'N.'"};
  for (const char* const bytes : whole) EXPECT_EQ(load_error(hex(bytes)), errc::bad_item) << bytes;
  const char* const bodies[] = {
      "'Q'",
      "'LLQ'",
      "'PQ'",
      "'LPQ'",
      "'LLPQ'",
      "'LLLPQ'",
      "'JLPQ'",
      "'@' 00 00 00 01 'Q'",
      "'L@' ff ff ff ff 'Q'",
      "'LO' 80 00 00 00 'Q'",
      "'N' ff ff ff ff 'Q'",
      "'A' 7f ff ff ff 'Q'",
      "'K' ff ff ff ff 'Q'",
      "'H' 00 00 00 00 'Q'",
      "'H' 00 00 00 02 '1xQ'",
      "'H' 7f ff ff ff '1Q'",
      "'K' 00 00 00 01 'F' 00 00 00 01 'LPQ'",  // the index is out of range
      "'K' 00 00 00 01 'F' ff ff ff ff 'LPQ'",
      "'K' 00 00 00 01 'LLPQ'",
      "'K' 00 00 00 01 'RLPQ'",
      "'JK' 00 00 00 00 'LPQ'",  // a list as key
      "'JJ' 'LPQ'",
      "'K' 00 00 00 00 'O' 00 00 00 01 'Q'",
      "'JE' 00 00 00 01 'Q'",
      "'K' 00 00 00 00 '@' 00 00 00 01 'E' 00 00 00 01 'Q'",
      "'@' 00 00 00 00 'LLPQ'",
  };
  for (const char* const body : bodies) {
    const auto code = load_error(document(body));
    EXPECT_TRUE(code == errc::bad_item || code == errc::item_too_large) << body << code.message();
  }
  EXPECT_EQ(load_error(document("'N' 00 00 00 01 ff 'Q'")), errc::bad_text);
  EXPECT_EQ(load_error(document("'N' 00 00 00 03 ed a0 80 'Q'")), errc::bad_text);
  EXPECT_EQ(load_error(document("'B' 00 00 00 01 'Q'")), errc::bad_channel);
  for (unsigned opcode = 0; opcode < 256; ++opcode) {
    if (std::string_view("LRCFHDTNAKJ@OEBQGIMSP").find(static_cast<char>(opcode)) != std::string_view::npos) continue;
    Bytes bytes = document("");
    bytes.push_back(static_cast<std::byte>(opcode));
    bytes.append(hex("00 00 00 00 'Q'"));
    EXPECT_EQ(load_error(bytes), errc::bad_item) << opcode;
  }
}

TEST(DumpFormat, the_last_of_equal_keys_wins) {
  expect_same(loads(document("'JF' 00 00 00 01 'LPRCPQ'")), Dict{{1, false}});
}

TEST(DumpFormat, nesting_is_bounded_far_above_what_others_write) {
  const auto nested = [](std::size_t depth) {
    Bytes bytes = document("");
    for (std::size_t i = 1; i < depth; ++i) bytes.append(hex("'K' 00 00 00 01 'F' 00 00 00 00"));
    bytes.append(hex("'J'"));
    for (std::size_t i = 1; i < depth; ++i) bytes.append(hex("'P'"));
    bytes.append(hex("'Q'"));
    return bytes;
  };
  const Bytes deepest = nested(dump_nesting_depth);
  EXPECT_EQ(dumps(loads(deepest)), deepest);
  EXPECT_EQ(load_error(nested(dump_nesting_depth + 1)), errc::too_deep);
  EXPECT_EQ(load_error(nested(100'000)), errc::too_deep);
  Bytes tuples = document("'L'");
  for (int i = 0; i < 100'000; ++i) tuples.append(hex("'@' 00 00 00 01"));
  EXPECT_EQ(load_error(tuples), errc::too_deep);
}

TEST(DumpFormat, what_cannot_be_stored_is_refused) {
  const auto code = [](const Value& value) -> boost::system::error_code {
    try {
      (void)dumps(value);
    } catch (const DumpError& error) {
      return error.code();
    }
    return {};
  };
  EXPECT_EQ(code(List{1, ChannelRef{1, nullptr}}), errc::bad_channel);
  EXPECT_EQ(code(List{1, std::string("\xed\xa0\x80")}), errc::bad_text);
}

TEST(DumpFormat, every_flipped_bit_is_a_value_or_an_error) {
  for (const Row& row : rows()) {
    const Bytes whole = document(row.body);
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Bytes flipped = whole;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      try {
        const Value value = loads(flipped);
        expect_same(loads(dumps(value)), value);
      } catch (const LoadError&) {
      }
    }
  }
}

}  // namespace
}  // namespace gangway
