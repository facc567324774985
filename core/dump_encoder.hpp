// Writes a value in the dump format (include/gangway/dump.hpp), without recursion.
#pragma once

#include <bit>
#include <charconv>
#include <limits>
#include <string>
#include <vector>

#include <gangway/dump.hpp>

#include "core/byte_writer.hpp"
#include "core/dump_opcodes.hpp"
#include "core/item_walker.hpp"

namespace gangway::detail {

template <ItemWalker W>
class DumpEncoder {
 public:
  /// Overwrites `out`.
  DumpEncoder(W& walker, Bytes& out) : walker_(walker), writer_((out.clear(), out)) {}

  void encode(typename W::Node node) {
    writer_.byte(dump_format::version);
    for (;;) {
      write(node);
      while (!open_.empty() && !advance(node)) open_.pop_back();
      if (open_.empty()) break;
    }
    writer_.byte(dump_format::stop);
    writer_.finish();
  }

 private:
  struct Open {
    typename W::Cursor cursor;
    NodeKind kind;
    std::uint64_t count = 0;  // of nodes written
  };

  // To the next node of the innermost container, of which one is complete; false at its end.
  bool advance(typename W::Node& node) {
    Open& open = open_.back();
    const bool stores = open.kind == NodeKind::list || (open.kind == NodeKind::dict && open.count % 2 == 0);
    if (stores && open.count != 0) writer_.byte(dump_format::store);
    if (walker_.next(open.cursor, node)) {
      if (open.kind == NodeKind::list) writer_.opcode_big<4>(dump_format::int4, open.count);
      ++open.count;
      return true;
    }
    switch (open.kind) {
      case NodeKind::tuple: write_length(dump_format::tuple, open.count); break;
      case NodeKind::set: write_length(dump_format::set, open.count); break;
      case NodeKind::frozenset: write_length(dump_format::frozenset, open.count); break;
      default: break;
    }
    return false;
  }

  void write(const typename W::Node& node) {
    const NodeKind kind = walker_.kind(node);
    switch (kind) {
      case NodeKind::none: return writer_.byte(dump_format::none);
      case NodeKind::boolean: return writer_.byte(walker_.boolean(node) ? dump_format::true_ : dump_format::false_);
      case NodeKind::integer: return write_integer(walker_.integer(node));
      case NodeKind::big_integer:
        return write_run(dump_format::decimal, BigInt::from_bytes(walker_.big_integer(node)).to_decimal());
      case NodeKind::floating:
        return writer_.opcode_big<8>(dump_format::float8, std::bit_cast<std::uint64_t>(walker_.floating(node)));
      case NodeKind::complex: return write_complex(walker_.complex(node));
      case NodeKind::str: return write_run(dump_format::str, walker_.str(node));
      case NodeKind::bytes: {
        const std::span<const std::byte> run = walker_.bytes(node);
        return write_run(dump_format::bytes, {reinterpret_cast<const char*>(run.data()), run.size()});
      }
      case NodeKind::list: write_length(dump_format::new_list, walker_.size(node)); break;
      case NodeKind::dict: writer_.byte(dump_format::new_dict); break;
      case NodeKind::tuple:
      case NodeKind::set:
      case NodeKind::frozenset: break;
      case NodeKind::channel: throw DumpError(errc::bad_channel, "can't serialize a channel outside of a channel");
      case NodeKind::array:
      case NodeKind::other:
        throw DumpError(errc::cannot_serialize, "can't serialize " + std::string(walker_.type_name(node)));
    }
    if (open_.size() >= dump_nesting_depth) {
      throw DumpError(errc::too_deep,
                      "can't serialize: nested more than " + std::to_string(dump_nesting_depth) + " deep");
    }
    open_.push_back({walker_.open(node), kind});
  }

  void write_integer(std::int64_t value) {
    if (value == static_cast<std::int32_t>(value)) {
      return writer_.opcode_big<4>(dump_format::int4, static_cast<std::uint64_t>(value));
    }
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, value);
    write_run(dump_format::decimal, {digits, static_cast<std::size_t>(end.ptr - digits)});
  }

  void write_complex(std::complex<double> value) {
    writer_.opcode_big<8>(dump_format::complex, std::bit_cast<std::uint64_t>(value.real()));
    const auto bits = std::bit_cast<std::uint64_t>(value.imag());
    writer_.opcode_big<7>(static_cast<std::uint8_t>(bits >> 56), bits);
  }

  void write_run(std::uint8_t opcode, std::string_view run) {
    write_length(opcode, run.size());
    writer_.bytes(std::as_bytes(std::span(run)));
  }

  void write_length(std::uint8_t opcode, std::uint64_t length) {
    if (length > dump_format::most) {
      throw DumpError(errc::item_too_large,
                      "can't serialize: " + std::to_string(length) + " bytes or elements, more than 2147483647");
    }
    writer_.opcode_big<4>(opcode, length);
  }

  W& walker_;
  ByteWriter writer_;
  std::vector<Open> open_;
};

}  // namespace gangway::detail
