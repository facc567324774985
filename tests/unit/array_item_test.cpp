// Arrays within items: what a hostile peer may write of them, and what is written.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/array_header.hpp"
#include "core/item_codec.hpp"
#include "core/pickle_decoder.hpp"
#include "core/value_nodes.hpp"

namespace {

using namespace gangway;
using namespace gangway::detail;

// Notes what arrays it was given; their node is a text.
class Recorder : public ValueBuilder {
 public:
  Recorder() : ValueBuilder(nullptr) {}
  [[nodiscard]] Value make_array(const ArrayHeader& header, std::span<const std::byte> data) {
    std::string text(header.dtype);
    text += header.fortran ? " F" : " C";
    for (const std::uint64_t count : header.shape) text += " " + std::to_string(count);
    return Value(text + ": " + std::to_string(data.size()));
  }
};
static_assert(ArrayBuilder<Recorder> && !ArrayBuilder<ValueBuilder>);

struct Parts {
  std::string dtype = "<i4";
  std::string order = "C";
  std::vector<std::uint64_t> shape{2, 3};
  std::uint64_t size = 24;  // as announced
  std::size_t there = 24;
};

std::string little(std::uint64_t number) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(number >> (8 * i));
  return bytes;
}

std::string array_text(const Parts& parts) {
  std::string text =
      "\x8c\x08_gangway\x8c\x05"
      "array\x93(\x8c";
  text += static_cast<char>(parts.dtype.size()) + parts.dtype;
  text += std::string("\x8c") + static_cast<char>(parts.order.size()) + parts.order + "(";
  for (const std::uint64_t count : parts.shape) text += "\x8a\x08" + little(count);
  return text + "t\x8e" + little(parts.size) + std::string(parts.there, 'x') + "tR";
}

Value decode(const std::string& text) {
  const Bytes stream(std::string_view("\x80\x04" + text + "."));
  Recorder recorder;
  return PickleDecoder<Recorder>(recorder, stream.span()).decode();
}

std::string failure(const std::string& text) {
  try {
    return "none: " + to_string(decode(text));
  } catch (const LoadError& error) {
    return error.what();
  }
}

TEST(ArrayItem, headers_say_type_order_and_shape) {
  EXPECT_EQ(decode(array_text({})), Value("<i4 C 2 3: 24"));
  EXPECT_EQ(decode(array_text({">f8", "F", {1, 3}})), Value(">f8 F 1 3: 24"));
  EXPECT_EQ(decode(array_text({"|b1", "C", {24}})), Value("|b1 C 24: 24"));
  EXPECT_EQ(decode(array_text({"<c16", "C", {}, 16, 16})), Value("<c16 C: 16"));
  EXPECT_EQ(decode(array_text({"<f2", "C", {0, std::uint64_t{1} << 61}, 0, 0})),
            Value("<f2 C 0 2305843009213693952: 0"));
  EXPECT_EQ(decode("](" + array_text({}) + array_text({}) + "e").as_list().size(), 2U);
}

TEST(ArrayItem, hostile_headers_are_refused) {
  const std::uint64_t big = std::uint64_t{1} << 62;
  const struct {
    Parts parts;
    const char* text;
  } rows[] = {
      {{.dtype = "|O8"}, "type that is not known"},
      {{.dtype = "<i3"}, "type that is not known"},
      {{.dtype = "<b1"}, "type that is not known"},
      {{.dtype = "|i4"}, "type that is not known"},
      {{.dtype = "=i4"}, "type that is not known"},
      {{.dtype = "i4"}, "type that is not known"},
      {{.dtype = ""}, "type that is not known"},
      {{.dtype = "<U6"}, "type that is not known"},
      {{.dtype = "<f16"}, "type that is not known"},
      {{.order = "A"}, "neither C nor F"},
      {{.order = ""}, "neither C nor F"},
      {{.order = "CF"}, "neither C nor F"},
      {{.shape = {2, 2}}, "which its shape does not say"},
      {{.shape = {}}, "which its shape does not say"},
      {{.shape = {2, 3, 0}}, "which its shape does not say"},
      {{.shape = {std::uint64_t{1} << 63}}, "negative"},
      // Products that are 24 or 0 when they wrap around.
      {{.shape = {big, 4, 1}, .size = 0, .there = 0}, "which its shape does not say"},
      {{.shape = {big + 6}}, "which its shape does not say"},
      {{.shape = {big, big, 0}, .size = 0, .there = 0}, "which its shape does not say"},
      {{.shape = std::vector<std::uint64_t>(limits::array_dimensions + 1, 1), .size = 4, .there = 4}, "dimensions"},
      {{.shape = {big >> 3}, .size = big >> 1, .there = 100}, "bytes are announced"},
      {{.size = 25, .there = 25}, "which its shape does not say"},
      {{.there = 20}, "bytes are announced"},
  };
  for (const auto& row : rows)
    EXPECT_NE(failure(array_text(row.parts)).find(row.text), std::string::npos) << failure(array_text(row.parts));
}

TEST(ArrayItem, every_cut_and_every_other_spelling_is_an_error) {
  const std::string whole = array_text({});
  for (std::size_t size = 11; size < whole.size(); ++size)  // up to there it is a text
    EXPECT_EQ(failure(whole.substr(0, size)).substr(0, 9), "bad item:") << size;
  const std::string head =
      "\x8c\x08_gangway\x8c\x05"
      "array\x93";
  for (const char* const rest :
       {"N", ")R", "K\x01\x85R", "(K\x01tR", "(\x8c\x03<i4K\x01tR", "(\x8c\x03<i4\x8c\1C)K\x01tR"})
    EXPECT_EQ(failure(head + rest).substr(0, 9), "bad item:") << rest;
}

TEST(ArrayItem, an_array_is_no_key_and_no_member) {
  EXPECT_NE(failure("}" + array_text({}) + "Ns").find("hashable"), std::string::npos);
  EXPECT_NE(failure("\x8f(" + array_text({}) + "\x90").find("hashable"), std::string::npos);
  EXPECT_NE(failure("}" + array_text({}) + "\x85Ns").find("hashable"), std::string::npos);
}

TEST(ArrayItem, a_program_in_cpp_is_told_that_it_has_no_value_for_one) {
  const Bytes stream(std::string_view("\x80\x04" + array_text({}) + "."));
  try {
    (void)decode_item(ItemKind::pickle, stream.span(), nullptr);
    FAIL();
  } catch (const LoadError& error) {
    EXPECT_NE(std::string(error.what()).find("an array, of which there is no Value"), std::string::npos);
  }
}

TEST(ArrayItem, what_is_written_is_what_is_read) {
  const std::uint64_t shape[] = {2, 3};
  Bytes out;
  ByteWriter writer(out);
  write_array_head(writer, {"<i4", false, shape}, 24);
  const std::string data(24, 'x');
  writer.bytes(std::as_bytes(std::span(data)));
  writer.bytes(std::as_bytes(std::span(array_tail)));
  writer.finish();
  EXPECT_EQ(out.view(), array_text({}));
}

TEST(ArrayItem, an_item_in_three_pieces_is_cut_like_one) {
  const std::string head = "head", payload = "payload", tail = "end";
  const EncodedItem item{ItemKind::pickle, std::as_bytes(std::span(payload)), std::as_bytes(std::span(head)),
                         std::as_bytes(std::span(tail))};
  EXPECT_EQ(item.joined().view(), "headpayloadend");
  EXPECT_EQ(item.size(), 14U);
}

}  // namespace
