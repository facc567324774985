// Reads a pickle stream of the subset (spec-docs/items.md) that a peer wrote, who may be
// hostile: nothing outside the subset is accepted, no count is trusted beyond the bytes
// that are left, and the one number that is used as an index, into the texts that may be
// repeated, is checked.
//
// A stack machine without recursion. What it makes of the stream is decided by a builder
// (item_walker.hpp). Every error is a LoadError with the offset of the byte it is about.
#pragma once

#include <array>
#include <bit>
#include <string>
#include <vector>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/item_walker.hpp"
#include "core/node_stack.hpp"
#include "core/pickle_opcodes.hpp"
#include "core/utf8.hpp"

namespace gangway::detail {

template <ItemBuilder B>
class PickleDecoder {
 public:
  using Node = typename B::Node;

  PickleDecoder(B& builder, std::span<const std::byte> stream)
      : builder_(builder),
        begin_(reinterpret_cast<const std::uint8_t*>(stream.data())),
        at_(begin_),
        end_(begin_ + stream.size()) {}

  [[nodiscard]] Node decode() {
    if (left() < 2 || at_[0] != pickle::proto || at_[1] != pickle::version) {
      fail("a pickle stream of protocol 4 was expected");
    }
    at_ += 2;
    for (;;) {
      opcode_ = at_;
      if (at_ == end_) fail("the stream ends without STOP");
      const std::uint8_t opcode = *at_++;
      if (opcode == pickle::short_bin_unicode) {  // more than half of all opcodes: the keys of dicts
        read_str(little<1>());
        continue;
      }
      if (opcode == pickle::bin_get) {
        repeat(little<1>());
        continue;
      }
      if (opcode == pickle::stop) break;
      step(opcode);
    }
    if (at_ != end_) fail("bytes after STOP");
    if (stack_.size() != 1 || !marks_.empty()) fail("STOP, and not exactly one value on the stack");
    return std::move(stack_[0]);
  }

 private:
  [[gnu::always_inline]] void step(std::uint8_t opcode) {
    switch (opcode) {
      case pickle::short_bin_unicode: return read_str(little<1>());
      case pickle::bin_unicode: return read_str(little<4>());
      case pickle::bin_unicode8: return read_str(little<8>());
      case pickle::bin_int1: return push_integer(static_cast<std::int64_t>(little<1>()));
      case pickle::bin_int2: return push_integer(static_cast<std::int64_t>(little<2>()));
      case pickle::bin_int: return push_integer(static_cast<std::int32_t>(little<4>()));
      case pickle::long1: return read_long(little<1>());
      case pickle::long4: return read_long(little<4>());
      case pickle::bin_float: {
        const double number = read_double();
        return stack_.push([&] { return builder_.make_float(number); });
      }
      case pickle::none: return stack_.push([&] { return builder_.make_none(); });
      case pickle::new_true: return stack_.push([&] { return builder_.make_bool(true); });
      case pickle::new_false: return stack_.push([&] { return builder_.make_bool(false); });
      case pickle::short_bin_bytes: return read_bytes(little<1>());
      case pickle::bin_bytes: return read_bytes(little<4>());
      case pickle::bin_bytes8: return read_bytes(little<8>());
      case pickle::mark:
        // A mark costs a byte of the stream, as every node does.
        marks_.push_back(stack_.size());
        floor_ = stack_.size();
        return;
      case pickle::empty_list: return stack_.push([&] { return builder_.make_list(); }, {Shape::list | 1});
      case pickle::empty_dict: return stack_.push([&] { return builder_.make_dict(); }, {Shape::dict | 1});
      case pickle::empty_set: return stack_.push([&] { return builder_.make_set(); }, {Shape::set | 1});
      case pickle::append: return append(top(1));
      case pickle::appends: return append(pop_mark());
      case pickle::set_item: return set_items(top(2));
      case pickle::set_items: return set_items(pop_mark());
      case pickle::add_items: return add_items(pop_mark());
      case pickle::empty_tuple: return make_tuple(stack_.size());
      case pickle::tuple1: return make_tuple(top(1));
      case pickle::tuple2: return make_tuple(top(2));
      case pickle::tuple3: return make_tuple(top(3));
      case pickle::tuple: return make_tuple(pop_mark());
      case pickle::frozenset: return make_frozenset(pop_mark());
      case pickle::frame: return skip_frame();
      default: fail_opcode(opcode);
    }
  }

  // Scalars.

  void push_integer(std::int64_t value) {
    stack_.push([&] { return builder_.make_integer(value); });
  }

  void read_long(std::uint64_t size) {
    if (size > limits::int_bytes) {  // negative counts of LONG4, too
      fail("an int of more than " + std::to_string(limits::int_bytes) + " bytes", errc::item_too_large);
    }
    const std::uint8_t* bytes = take(size);
    // As few bytes as say the same.
    while (size > 1 &&
           ((bytes[size - 1] == 0 && bytes[size - 2] < 0x80) || (bytes[size - 1] == 0xff && bytes[size - 2] >= 0x80))) {
      --size;
    }
    if (size > 8) {
      const auto all = std::as_bytes(std::span(bytes, static_cast<std::size_t>(size)));
      return stack_.push([&] { return builder_.make_big_integer(all); });
    }
    std::uint64_t value = size != 0 && bytes[size - 1] >= 0x80 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = static_cast<std::size_t>(size); i-- > 0;) value = value << 8 | bytes[i];
    push_integer(static_cast<std::int64_t>(value));
  }

  double read_double() {
    const std::uint8_t* bytes = take(8);
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8; ++i) bits = bits << 8 | bytes[i];
    return std::bit_cast<double>(bits);
  }

  std::string_view take_str(std::uint64_t size) {
    const std::uint8_t* bytes = take(size);
    const std::string_view text(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    const std::size_t bad = find_bad_utf8(text);
    if (bad != text.size()) {
      opcode_ = bytes + bad;
      fail("a str that is not UTF-8", errc::bad_text);
    }
    return text;
  }

  [[gnu::always_inline]] void read_str(std::uint64_t size) {
    const std::string_view text = take_str(size);
    if (text.size() == complex_module.size() && (text == complex_module || text == channel_module) &&
        read_reduced(text)) {
      return;
    }
    stack_.push([&] { return builder_.make_str(text); });
    if (at_ != end_ && *at_ == pickle::memoize) [[unlikely]] {
      remember(text.size());
    }
  }

  // MEMOIZE has its meaning directly behind a str only, anywhere else it is not allowed: what
  // is repeated is never more than a short text.
  [[gnu::noinline]] void remember(std::size_t size) {
    opcode_ = at_++;
    if (size > limits::memo_text_bytes) fail("MEMOIZE of a str of " + std::to_string(size) + " bytes");
    if (memo_.size() >= limits::memo_texts) fail("more texts to repeat than " + std::to_string(limits::memo_texts));
    if (memo_.empty()) memo_.reserve(16);
    memo_.push_back(builder_.repeat_str(stack_[stack_.size() - 1]));
  }

  [[gnu::always_inline]] void repeat(std::size_t number) {
    if (number >= memo_.size()) fail("a text to repeat that was not there");
    stack_.push([&] { return builder_.repeat_str(memo_[number]); });
  }

  void read_bytes(std::uint64_t size) {
    const std::uint8_t* bytes = take(size);
    stack_.push([&] { return builder_.make_bytes(std::as_bytes(std::span(bytes, static_cast<std::size_t>(size)))); });
  }

  void skip_frame() {
    if (little<8>() > left()) fail("a FRAME longer than the stream");
  }

  // complex, Channel and arrays, of which the name of the module was read. Any other use of a
  // STACK_GLOBAL, and any other REDUCE, ends in fail_opcode.

  static constexpr std::string_view complex_module = "builtins";
  static constexpr std::string_view complex_name = "complex";
  static constexpr std::string_view channel_module = "_gangway";
  static constexpr std::string_view channel_name = "channel";
  static constexpr std::string_view array_name = "array";
  static_assert(complex_module.size() == channel_module.size());

  bool read_reduced(std::string_view module) {
    const bool is_complex = module == complex_module;
    const std::uint8_t* const after_module = at_;
    if (!is_complex) {
      if (next_is_str(array_name) && next_is(pickle::stack_global)) {
        read_array();
        return true;
      }
      at_ = after_module;
    }
    if (!next_is_str(is_complex ? complex_name : channel_name) || !next_is(pickle::stack_global)) {
      at_ = after_module;  // just a str
      return false;
    }
    if (is_complex) {
      expect(pickle::bin_float);
      const double real = read_double();
      expect(pickle::bin_float);
      const double imaginary = read_double();
      expect(pickle::tuple2);
      expect(pickle::reduce);
      stack_.push([&] { return builder_.make_complex(real, imaginary); });
    } else {
      const std::uint32_t id = read_channel_id();
      expect(pickle::tuple1);
      expect(pickle::reduce);
      stack_.push([&] { return builder_.make_channel(id); });
    }
    return true;
  }

  // In one spelling only. What is allocated for is the data, which is here.
  [[gnu::noinline]] void read_array() {
    expect(pickle::mark);
    ArrayHeader header;
    header.dtype = expect_short_str();
    if (element_size(header.dtype) == 0) fail("an array of a type that is not known");
    const std::string_view order = expect_short_str();
    if (order != "C" && order != "F") fail("an array whose order is neither C nor F");
    header.fortran = order == "F";
    std::array<std::uint64_t, limits::array_dimensions> shape;
    std::size_t dimensions = 0;
    expect(pickle::mark);
    while (!next_is(pickle::tuple)) {
      expect(pickle::long1);
      if (little<1>() != 8) fail("a size of an array that is not of 8 bytes");
      if (dimensions == shape.size()) {
        fail("an array of more than " + std::to_string(shape.size()) + " dimensions");
      }
      shape[dimensions] = little<8>();
      if (shape[dimensions++] >> 63 != 0) fail("a size of an array is negative");
    }
    header.shape = std::span(shape).first(dimensions);
    expect(pickle::bin_bytes8);
    const std::uint64_t size = little<8>();
    if (const auto needed = array_size(header); !needed || *needed != size) {
      fail("an array with " + std::to_string(size) + " bytes of data, which its shape does not say");
    }
    const std::span<const std::uint8_t> data(take(size), static_cast<std::size_t>(size));
    expect(pickle::tuple);
    expect(pickle::reduce);
    if constexpr (ArrayBuilder<B>) {
      stack_.push([&] { return builder_.make_array(header, std::as_bytes(data)); }, {Shape::unhashable});
    } else {
      fail("an array, of which there is no Value: its tolist() or tobytes() can be received");
    }
  }

  [[nodiscard]] std::string_view expect_short_str() {
    expect(pickle::short_bin_unicode);
    const std::uint64_t size = little<1>();
    return {reinterpret_cast<const char*>(take(size)), static_cast<std::size_t>(size)};
  }

  std::uint32_t read_channel_id() {
    skip_frames();
    opcode_ = at_;
    const std::uint8_t opcode = at_ == end_ ? std::uint8_t{0} : *at_++;
    switch (opcode) {
      case pickle::bin_int1: return static_cast<std::uint32_t>(little<1>());
      case pickle::bin_int2: return static_cast<std::uint32_t>(little<2>());
      case pickle::bin_int: {
        const auto id = static_cast<std::uint32_t>(little<4>());
        if (id > 0x7fff'ffff) fail("the id of a channel is negative");
        return id;
      }
      case pickle::long1: {
        // 2^31 to 2^32 - 1 has five bytes, of which the last is 0.
        const std::uint64_t size = little<1>();
        const std::uint8_t* bytes = take(size);
        std::uint64_t id = 0;
        for (std::size_t i = 0; i < size && i < 5; ++i) id |= std::uint64_t{bytes[i]} << (8 * i);
        if (size > 5 || id > 0xffff'ffff || (size != 0 && bytes[size - 1] >= 0x80)) {
          fail("the id of a channel is not of 32 bits");
        }
        return static_cast<std::uint32_t>(id);
      }
      default: fail("the id of a channel is not an int");
    }
  }

  void skip_frames() {
    while (at_ != end_ && *at_ == pickle::frame) {
      opcode_ = at_++;
      skip_frame();
    }
  }
  [[nodiscard]] bool next_is(std::uint8_t opcode) {
    skip_frames();
    if (at_ == end_ || *at_ != opcode) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] bool next_is_str(std::string_view wanted) {
    skip_frames();
    opcode_ = at_;
    if (at_ == end_) return false;
    std::uint64_t size = 0;
    switch (*at_++) {
      case pickle::short_bin_unicode: size = little<1>(); break;
      case pickle::bin_unicode: size = little<4>(); break;
      case pickle::bin_unicode8: size = little<8>(); break;
      default: return false;
    }
    if (size != wanted.size()) return false;
    return std::string_view(reinterpret_cast<const char*>(take(size)), wanted.size()) == wanted;
  }
  void expect(std::uint8_t opcode) {
    skip_frames();
    opcode_ = at_;
    if (!next_is(opcode)) fail("a global that is not in one of the forms that are allowed");
  }

  // Containers.

  // Where the topmost `count` nodes begin; they must be above the last mark.
  [[nodiscard]] std::size_t top(std::size_t count) {
    if (stack_.size() - floor_ < count) fail("too few values on the stack");
    return stack_.size() - count;
  }

  // Where the nodes after the last mark begin, which is taken away.
  [[nodiscard]] std::size_t pop_mark() {
    if (marks_.empty()) fail("no MARK on the stack");
    const std::size_t first = marks_.back();
    marks_.pop_back();
    floor_ = marks_.empty() ? 0 : marks_.back();
    return first;
  }

  // What the nodes from `first` on have in common with what is around them.
  struct Inside {
    std::uint32_t depth = 0;          // of the deepest
    std::uint32_t flags = 0;          // of any
    std::uint32_t flags_of_keys = 0;  // of the first, the third ...
  };
  [[nodiscard]] Inside inside(std::size_t first) {
    Inside result;
    const Shape* shape = stack_.notes_from(first).data();
    const Shape* const end = shape + (stack_.size() - first);
    for (; end - shape >= 2; shape += 2) {
      result.depth = std::max({result.depth, shape[0].depth(), shape[1].depth()});
      result.flags_of_keys |= shape[0].bits;
      result.flags |= shape[1].bits;
    }
    if (shape != end) {
      result.depth = std::max(result.depth, shape->depth());
      result.flags_of_keys |= shape->bits;
    }
    result.flags |= result.flags_of_keys;
    if (result.depth >= limits::nesting_depth) {
      fail("nested more than " + std::to_string(limits::nesting_depth) + " deep", errc::too_deep);
    }
    return result;
  }

  void check_hashable(std::uint32_t flags) const {
    if ((flags & Shape::unhashable) != 0) fail("a key of a dict or a member of a set is not hashable");
  }

  // The container of that kind below the nodes from `first` on, which get into it.
  [[nodiscard]] Node& target(std::size_t first, std::uint32_t kind, const char* name, const Inside& added) {
    if (first <= floor_ || !stack_.note(first - 1).is(kind)) fail(std::string("no ") + name + " to add to");
    Shape& shape = stack_.note(first - 1);
    shape.bits = kind | std::max(shape.depth(), added.depth + 1);
    return stack_[first - 1];
  }

  void append(std::size_t first) {
    Node& list = target(first, Shape::list, "list", inside(first));
    builder_.append(list, stack_.from(first));
    stack_.pop_to(first);
  }

  void set_items(std::size_t first) {
    const Inside items = inside(first);
    Node& dict = target(first, Shape::dict, "dict", items);
    if ((stack_.size() - first) % 2 != 0) fail("a key without a value");
    check_hashable(items.flags_of_keys);
    builder_.set_items(dict, stack_.from(first));
    stack_.pop_to(first);
  }

  void add_items(std::size_t first) {
    const Inside members = inside(first);
    Node& set = target(first, Shape::set, "set", members);
    check_hashable(members.flags);
    builder_.add(set, stack_.from(first));
    stack_.pop_to(first);
  }

  // A tuple is as hashable as what is in it.
  void make_tuple(std::size_t first) {
    const Inside items = inside(first);
    replace(first, {(items.flags & Shape::unhashable) | (items.depth + 1)}, builder_.make_tuple(stack_.from(first)));
  }

  void make_frozenset(std::size_t first) {
    const Inside members = inside(first);
    check_hashable(members.flags);
    replace(first, {members.depth + 1}, builder_.make_frozenset(stack_.from(first)));
  }

  void replace(std::size_t first, Shape shape, Node&& node) {
    stack_.pop_to(first);
    stack_.push([&]() -> Node&& { return std::move(node); }, shape);
  }

  // The stream.

  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }

  [[nodiscard]] const std::uint8_t* take(std::uint64_t count) {
    if (count > left()) fail_short(count);
    const std::uint8_t* const bytes = at_;
    at_ += count;
    return bytes;
  }

  template <std::size_t Size>
  [[nodiscard]] std::uint64_t little() {
    const std::uint8_t* bytes = take(Size);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < Size; ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
    return value;
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail(std::string_view what, errc code = errc::bad_item) const {
    throw LoadError(code, "bad item: " + std::string(what) + ", at byte " + std::to_string(opcode_ - begin_));
  }
  [[noreturn, gnu::cold, gnu::noinline]] void fail_short(std::uint64_t count) const {
    fail(std::to_string(count) + " bytes are announced and " + std::to_string(left()) + " are left");
  }
  [[noreturn, gnu::cold, gnu::noinline]] void fail_opcode(std::uint8_t opcode) const {
    constexpr char digits[] = "0123456789abcdef";
    fail(std::string("opcode 0x") + digits[opcode >> 4] + digits[opcode & 15] + " is not allowed");
  }

  B& builder_;
  const std::uint8_t* begin_;
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  const std::uint8_t* opcode_ = begin_;  // where the current one begins, for error texts
  NodeStack<Node> stack_;
  std::vector<Node> memo_;          // texts
  std::vector<std::size_t> marks_;  // sizes of the stack
  std::size_t floor_ = 0;           // the last mark
};

}  // namespace gangway::detail
