// Writes a value as a pickle stream of the subset (spec-docs/items.md).
//
// Iterative: one cursor per open container. The walker (item_walker.hpp) says what there
// is to write. Nothing is kept between calls.
#pragma once

#include <bit>
#include <limits>
#include <string>
#include <vector>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/byte_writer.hpp"
#include "core/item_walker.hpp"
#include "core/pickle_opcodes.hpp"
#include "core/text_memo.hpp"

namespace gangway::detail {

template <ItemWalker W>
class PickleEncoder {
 public:
  /// Overwrites `out`.
  PickleEncoder(W& walker, Bytes& out) : walker_(walker), writer_((out.clear(), out)) {}

  void encode(typename W::Node node) {
    writer_.opcode_little<1>(pickle::proto, pickle::version);
    for (;;) {
      write(node);
      for (;;) {
        if (open_.empty()) {
          writer_.byte(pickle::stop);
          writer_.finish();
          return;
        }
        if (walker_.next(open_.back().cursor, node)) break;
        writer_.byte(open_.back().closing);
        open_.pop_back();
      }
    }
  }

 private:
  struct Open {
    typename W::Cursor cursor;
    std::uint8_t closing;
  };

  [[gnu::always_inline]] void write(const typename W::Node& node) {
    const NodeKind kind = walker_.kind(node);
    if (kind == NodeKind::str) {  // more than half of all nodes: the keys of dicts
      write_str(node);
    } else if (kind == NodeKind::integer) {
      write_integer(walker_.integer(node));
    } else {
      write_other(kind, node);
    }
  }

  void write_other(NodeKind kind, const typename W::Node& node) {
    switch (kind) {
      case NodeKind::none: writer_.byte(pickle::none); break;
      case NodeKind::boolean: writer_.byte(walker_.boolean(node) ? pickle::new_true : pickle::new_false); break;
      case NodeKind::integer: write_integer(walker_.integer(node)); break;
      case NodeKind::big_integer: write_big_integer(walker_.big_integer(node)); break;
      case NodeKind::floating: write_float(walker_.floating(node)); break;
      case NodeKind::complex: write_complex(walker_.complex(node)); break;
      case NodeKind::str: write_str(node); break;
      case NodeKind::bytes:
        write_run(walker_.bytes(node), pickle::short_bin_bytes, pickle::bin_bytes, pickle::bin_bytes8);
        break;
      case NodeKind::list: open_list(node); break;
      case NodeKind::dict: open_dict(node); break;
      case NodeKind::tuple: open_tuple(node); break;
      case NodeKind::set:
        writer_.byte(pickle::empty_set);
        if (walker_.size(node) == 0) {
          check_depth();
        } else {
          writer_.byte(pickle::mark);
          open(node, pickle::add_items);
        }
        break;
      case NodeKind::frozenset:
        writer_.byte(pickle::mark);
        open(node, pickle::frozenset);
        break;
      case NodeKind::channel: write_channel(walker_.channel(node)); break;
      case NodeKind::array:
        if constexpr (ArrayWalker<W>) return write_array(node);
        [[fallthrough]];
      case NodeKind::other: fail_type(node);
    }
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail_type(const typename W::Node& node) {
    throw DumpError(errc::cannot_serialize, "can't serialize " + std::string(walker_.type_name(node)));
  }
  [[noreturn, gnu::cold, gnu::noinline]] void fail_depth() const {
    throw DumpError(errc::too_deep,
                    "can't serialize: nested more than " + std::to_string(limits::nesting_depth) + " deep");
  }

  [[gnu::always_inline]] void write_str(const typename W::Node& node) {
    using Found = typename TextMemo<W>::Found;
    const Found found = memo_.find(walker_, node);
    if (found == Found::number) return writer_.opcode_little<1>(pickle::bin_get, memo_.number());
    const std::string_view text = walker_.str(node);
    write_run(std::as_bytes(std::span(text)), pickle::short_bin_unicode, pickle::bin_unicode, pickle::bin_unicode8);
    if (found == Found::once && text.size() <= limits::memo_text_bytes) {
      writer_.byte(pickle::memoize);
      memo_.give_number();
    }
  }

  void open_list(const typename W::Node& node) {
    const std::size_t size = walker_.size(node);
    writer_.byte(pickle::empty_list);
    if (size == 0) return check_depth();
    if (size == 1) return open(node, pickle::append);
    writer_.byte(pickle::mark);
    open(node, pickle::appends);
  }

  void open_dict(const typename W::Node& node) {
    const std::size_t size = walker_.size(node);
    writer_.byte(pickle::empty_dict);
    if (size == 0) return check_depth();
    if (size == 1) return open(node, pickle::set_item);
    writer_.byte(pickle::mark);
    open(node, pickle::set_items);
  }

  void open_tuple(const typename W::Node& node) {
    constexpr std::uint8_t short_forms[] = {pickle::empty_tuple, pickle::tuple1, pickle::tuple2, pickle::tuple3};
    const std::size_t size = walker_.size(node);
    if (size == 0) {
      check_depth();
      writer_.byte(pickle::empty_tuple);
    } else if (size < std::size(short_forms)) {
      open(node, short_forms[size]);
    } else {
      writer_.byte(pickle::mark);
      open(node, pickle::tuple);
    }
  }

  void open(const typename W::Node& node, std::uint8_t closing) {
    check_depth();
    open_.push_back({walker_.open(node), closing});
  }

  void check_depth() const {
    if (open_.size() >= limits::nesting_depth) fail_depth();
  }

  void write_integer(std::int64_t value) {
    if (value >= 0 && value <= 0xff)
      return writer_.opcode_little<1>(pickle::bin_int1, static_cast<std::uint64_t>(value));
    if (value >= 0 && value <= 0xffff) {
      return writer_.opcode_little<2>(pickle::bin_int2, static_cast<std::uint64_t>(value));
    }
    const auto bits = static_cast<std::uint64_t>(value);
    if (value == static_cast<std::int32_t>(value)) return writer_.opcode_little<4>(pickle::bin_int, bits);
    // The bits that differ from the sign, and the sign.
    const auto size = static_cast<std::size_t>(std::bit_width(value < 0 ? ~bits : bits) / 8 + 1);
    std::byte* at = writer_.room(2 + 8);
    at[0] = std::byte{pickle::long1};
    at[1] = static_cast<std::byte>(size);
    for (std::size_t i = 0; i < 8; ++i) at[2 + i] = static_cast<std::byte>(bits >> (8 * i));
    writer_.wrote(2 + size);
  }

  [[gnu::noinline]] void write_big_integer(std::span<const std::byte> bytes) {
    if (bytes.size() > limits::int_bytes) {
      throw DumpError(errc::item_too_large, "can't serialize: an int of " + std::to_string(bytes.size()) +
                                                " bytes, more than " + std::to_string(limits::int_bytes));
    }
    if (bytes.size() <= 0xff) {
      writer_.opcode_little<1>(pickle::long1, bytes.size());
    } else {
      writer_.opcode_little<4>(pickle::long4, bytes.size());
    }
    writer_.bytes(bytes);
  }

  void write_float(double value) { writer_.opcode_big<8>(pickle::bin_float, std::bit_cast<std::uint64_t>(value)); }

  [[gnu::noinline]] void write_complex(std::complex<double> value) {
    write_global("builtins", "complex");
    write_float(value.real());
    write_float(value.imag());
    writer_.byte(pickle::tuple2);
    writer_.byte(pickle::reduce);
  }

  [[gnu::noinline]] void write_channel(std::uint32_t id) {
    write_global("_gangway", "channel");
    write_integer(id);
    writer_.byte(pickle::tuple1);
    writer_.byte(pickle::reduce);
  }

  // Not `requires ArrayWalker<W>`: clang 14 instantiates such a member nevertheless.
  [[gnu::noinline]] void write_array(const typename W::Node& node) {
    if constexpr (ArrayWalker<W>) {
      const ArrayHeader header = walker_.array(node);
      const std::span<const std::byte> data = walker_.bytes(node);
      write_array_head(writer_, header, data.size());
      writer_.bytes(data);
      writer_.bytes(std::as_bytes(std::span(array_tail)));
    }
  }

  void write_global(std::string_view module, std::string_view name) {
    for (const std::string_view text : {module, name}) {
      writer_.opcode_little<1>(pickle::short_bin_unicode, text.size());
      writer_.bytes(std::as_bytes(std::span(text)));
    }
    writer_.byte(pickle::stack_global);
  }

  void write_run(std::span<const std::byte> run, std::uint8_t tiny, std::uint8_t usual, std::uint8_t huge) {
    if (run.size() <= 0xff) {
      std::byte* at = writer_.room(2 + run.size());
      at[0] = std::byte{tiny};
      at[1] = static_cast<std::byte>(run.size());
      copy_run(at + 2, run.data(), run.size());
      return writer_.wrote(2 + run.size());
    }
    if (run.size() <= std::numeric_limits<std::uint32_t>::max()) {
      writer_.opcode_little<4>(usual, run.size());
    } else {
      writer_.opcode_little<8>(huge, run.size());
    }
    writer_.bytes(run);
  }

  W& walker_;
  ByteWriter writer_;
  std::vector<Open> open_;
  TextMemo<W> memo_;
};

}  // namespace gangway::detail
