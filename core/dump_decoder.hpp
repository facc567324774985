// Reads the dump format (include/gangway/dump.hpp), without recursion and without trust
// in what is announced. Every error is a LoadError with the offset of its byte.
#pragma once

#include <bit>
#include <concepts>
#include <limits>
#include <optional>
#include <string>

#include <gangway/dump.hpp>
#include <gangway/limits.hpp>

#include "core/dump_opcodes.hpp"
#include "core/item_walker.hpp"
#include "core/node_stack.hpp"
#include "core/utf8.hpp"

namespace gangway::detail {

/// Where a document comes from. It must not take memory for what it does not have yet.
template <class S>
concept DumpSource = requires(S& source, std::uint8_t& byte, std::size_t count) {
  /// False at the end.
  { source.next(byte) } -> std::same_as<bool>;
  /// That many bytes, valid until the next call; nothing when there are not so many.
  { source.take(count) } -> std::same_as<std::optional<std::span<const std::byte>>>;
};

template <DumpBuilder B, DumpSource S>
class DumpDecoder {
 public:
  using Node = typename B::Node;

  DumpDecoder(B& builder, S& source, LoadOptions options) : builder_(builder), source_(source), options_(options) {}

  [[nodiscard]] Node decode() {
    std::uint8_t version = 0;
    if (!source_.next(version) || version != dump_format::version) fail("not a dump of version 2");
    offset_ = 1;
    for (;;) {
      opcode_at_ = offset_;
      std::uint8_t opcode = 0;
      if (!source_.next(opcode)) fail("the input ends where an opcode is due", errc::end_of_channel);
      ++offset_;
      if (opcode == dump_format::stop) break;
      step(opcode);
    }
    if (stack_.size() != 1) fail("the end, and not exactly one value");
    fill_lists(0);
    return std::move(stack_[0]);
  }

 private:
  // Beside each node.
  struct Note {
    Shape shape;
    bool is_integer = false;
    std::uint32_t size = 0;   // of a list, as far as it is there
    std::int64_t number = 0;  // an integer's value, or a list's announced size
  };

  void step(std::uint8_t opcode) {
    switch (opcode) {
      case dump_format::none: return push([&] { return builder_.make_none(); });
      case dump_format::true_: return push([&] { return builder_.make_bool(true); });
      case dump_format::false_: return push([&] { return builder_.make_bool(false); });
      case dump_format::int4:
      case dump_format::py2_int4: return push_integer(read_int4());
      case dump_format::decimal:
      case dump_format::py2_decimal: return read_decimal();
      case dump_format::float8: {
        const double number = read_float();
        return push([&] { return builder_.make_float(number); });
      }
      case dump_format::complex: {
        const double real = read_float();
        const double imaginary = read_float();
        return push([&] { return builder_.make_complex(real, imaginary); });
      }
      case dump_format::str: return options_.py3str_as_py2str ? read_bytes() : read_str();
      case dump_format::py2_unicode: return read_str();
      case dump_format::bytes: return read_bytes();
      case dump_format::py2_str: return options_.py2str_as_py3str ? read_latin1() : read_bytes();
      case dump_format::new_list:
        return push([&] { return builder_.make_list(); }, {.shape = {Shape::list | 1}, .number = read_length()});
      case dump_format::new_dict: return push([&] { return builder_.make_dict(); }, {.shape = {Shape::dict | 1}});
      case dump_format::store: return store();
      case dump_format::tuple: {
        const std::size_t first = pop_count();
        const Shape shape = around(first, 0, Shape::unhashable);
        return replace_from(first, shape, builder_.make_tuple(stack_.from(first)));
      }
      case dump_format::set: {
        const std::size_t first = pop_members();
        const Shape shape = around(first, Shape::set, 0);
        Node set = builder_.make_set();
        builder_.add(set, stack_.from(first));
        return replace_from(first, shape, std::move(set));
      }
      case dump_format::frozenset: {
        const std::size_t first = pop_members();
        const Shape shape = around(first, 0, 0);
        return replace_from(first, shape, builder_.make_frozenset(stack_.from(first)));
      }
      case dump_format::channel: fail("a channel has no meaning in a dump", errc::bad_channel);
      default: fail("unknown opcode " + std::to_string(opcode));
    }
  }

  template <class Make>
  void push(Make&& make, Note note = {}) {
    stack_.push(std::forward<Make>(make), note);
  }
  void push_integer(std::int64_t value) {
    push([&] { return builder_.make_integer(value); }, {.shape = {}, .is_integer = true, .number = value});
  }

  // Scalars.

  void read_decimal() {
    // The digits of an int of limits::int_bytes, of which 8 bits are 2.41 digits.
    constexpr std::int64_t most_digits = limits::int_bytes * 241 / 100;
    const std::int64_t length = read_length();
    if (length > most_digits) fail("an int of more than 1 MiB", errc::item_too_large);
    const std::string_view digits = as_text(take(length));
    std::optional<BigInt> number;
    try {
      number = BigInt::from_decimal(digits);
    } catch (const Error&) {
      fail("not a decimal number");
    }
    if (const auto small = number->to_int64()) return push_integer(*small);
    push([&] { return builder_.make_big_integer(number->bytes()); });
  }

  [[nodiscard]] double read_float() {
    std::uint64_t bits = 0;
    for (const std::byte byte : take(8)) bits = bits << 8 | std::to_integer<std::uint64_t>(byte);
    return std::bit_cast<double>(bits);
  }

  void read_str() {
    const std::string_view text = as_text(take(read_length()));
    const std::size_t bad = find_bad_utf8(text);
    if (bad != text.size()) {
      opcode_at_ = offset_ - text.size() + bad;
      fail("a str that is not UTF-8", errc::bad_text);
    }
    push([&] { return builder_.make_str(text); });
  }

  void read_bytes() {
    const std::span<const std::byte> run = take(read_length());
    push([&] { return builder_.make_bytes(run); });
  }

  void read_latin1() {
    const std::string_view run = as_text(take(read_length()));
    std::string text;
    text.reserve(run.size());
    for (const char character : run) {
      const auto code = static_cast<unsigned char>(character);
      if (code < 0x80) {
        text += character;
      } else {
        text += static_cast<char>(0xc0 | code >> 6);
        text += static_cast<char>(0x80 | (code & 0x3f));
      }
    }
    push([&] { return builder_.make_str(text); });
  }

  // Containers.

  // Value and key are on top, the container below.
  void store() {
    if (stack_.size() < 3) fail("nothing to store into");
    const std::size_t key = stack_.size() - 2;
    fill_lists(key);
    Note& container = stack_.note(key - 1);
    if (container.shape.is(Shape::list)) {
      const Shape with_this = around(key + 1, Shape::list, 0);
      container.shape.bits = Shape::list | std::max(container.shape.depth(), with_this.depth());
      store_item(stack_[key - 1], container, stack_.note(key));
    } else if (container.shape.is(Shape::dict)) {
      if (!stack_.note(key).shape.hashable()) fail("a key of a dict is not hashable");
      const Shape with_this = around(key, Shape::dict, 0);
      container.shape.bits = Shape::dict | std::max(container.shape.depth(), with_this.depth());
      builder_.set_items(stack_[key - 1], stack_.from(key));
    } else {
      fail("neither a list nor a dict to store into");
    }
    stack_.pop_to(key);
  }

  void store_item(Node& list, Note& note, const Note& index) {
    if (!index.is_integer || index.number < 0 || index.number >= note.number) fail("not an index of the list");
    const auto at = static_cast<std::uint32_t>(index.number);
    const std::size_t item = stack_.size() - 1;
    if (at < note.size) return builder_.replace(list, at, stack_[item]);
    add_gaps(list, note, at);
    builder_.append(list, stack_.from(item));
    ++note.size;
  }

  // None, up to `size` items.
  void add_gaps(Node& list, Note& note, std::int64_t size) {
    const std::uint64_t count = static_cast<std::uint64_t>(size) - note.size;
    gaps_ += count;
    if (gaps_ > dump_gaps + offset_) fail("a list that is announced longer than it is");
    for (std::uint64_t i = 0; i < count; ++i) {
      Node none = builder_.make_none();
      builder_.append(list, std::span(&none, 1));
    }
    note.size = static_cast<std::uint32_t>(size);
  }

  // The nodes from `first` on are complete: lists get their announced size.
  void fill_lists(std::size_t first) {
    for (std::size_t i = first; i < stack_.size(); ++i) {
      Note& note = stack_.note(i);
      if (note.shape.is(Shape::list) && note.size < note.number) add_gaps(stack_[i], note, note.number);
    }
  }

  // Where as many nodes begin as the next number says.
  [[nodiscard]] std::size_t pop_count() {
    const auto count = static_cast<std::size_t>(read_length());
    if (count > stack_.size()) fail("too few values");
    fill_lists(stack_.size() - count);
    return stack_.size() - count;
  }

  [[nodiscard]] std::size_t pop_members() {
    const std::size_t first = pop_count();
    for (const Note& note : stack_.notes_from(first)) {
      if (!note.shape.hashable()) fail("a member of a set is not hashable");
    }
    return first;
  }

  [[nodiscard]] Shape around(std::size_t first, std::uint32_t kind, std::uint32_t inherited) const {
    std::uint32_t depth = 0;
    std::uint32_t flags = 0;
    for (const Note& note : stack_.notes_from(first)) {
      depth = std::max(depth, note.shape.depth());
      flags |= note.shape.bits;
    }
    if (depth >= dump_nesting_depth) {
      fail("nested more than " + std::to_string(dump_nesting_depth) + " deep", errc::too_deep);
    }
    return {kind | (flags & inherited) | (depth + 1)};
  }

  void replace_from(std::size_t first, Shape shape, Node&& node) {
    stack_.pop_to(first);
    push([&]() -> Node&& { return std::move(node); }, {.shape = shape});
  }

  // The source.

  [[nodiscard]] static std::string_view as_text(std::span<const std::byte> run) {
    return {reinterpret_cast<const char*>(run.data()), run.size()};
  }

  [[nodiscard]] std::span<const std::byte> take(std::int64_t count) {
    const auto run = source_.take(static_cast<std::size_t>(count));
    if (!run.has_value()) fail("fewer bytes are left than the " + std::to_string(count) + " announced");
    offset_ += run->size();
    return *run;
  }

  [[nodiscard]] std::int32_t read_int4() {
    std::uint32_t number = 0;
    for (const std::byte byte : take(4)) number = number << 8 | std::to_integer<std::uint32_t>(byte);
    return static_cast<std::int32_t>(number);
  }

  [[nodiscard]] std::int32_t read_length() {
    const std::int32_t length = read_int4();
    if (length < 0) fail("a negative length");
    return length;
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail(std::string_view what, errc code = errc::bad_item) const {
    throw LoadError(code, "bad dump: " + std::string(what) + ", at byte " + std::to_string(opcode_at_));
  }

  B& builder_;
  S& source_;
  LoadOptions options_;
  NodeStack<Node, Note> stack_;
  std::uint64_t offset_ = 0;
  std::uint64_t opcode_at_ = 0;
  std::uint64_t gaps_ = 0;
};

}  // namespace gangway::detail
