// C++ Values for the encoders and decoders (item_walker.hpp).
#pragma once

#include <algorithm>
#include <iterator>
#include <span>

#include <gangway/limits.hpp>
#include <gangway/value.hpp>

#include "core/item_codec.hpp"
#include "core/item_walker.hpp"
#include "core/text_run.hpp"
#include "core/utf8.hpp"

namespace gangway::detail {

class ValueWalker {
 public:
  using Node = const Value*;
  struct Cursor {
    const Value* at = nullptr;  // of a row
    const Value* end = nullptr;
    const Dict::Item* item = nullptr;  // of a dict
    const Dict::Item* last_item = nullptr;
    const Value* value = nullptr;  // due after its key
  };

  explicit ValueWalker(ChannelTable* channels) : channels_(channels) {}

  [[nodiscard]] NodeKind kind(Node node) const noexcept { return static_cast<NodeKind>(node->kind()); }
  [[nodiscard]] bool boolean(Node node) const { return *node->get_if<bool>(); }
  [[nodiscard]] std::int64_t integer(Node node) const { return *node->get_if<std::int64_t>(); }
  [[nodiscard]] std::span<const std::byte> big_integer(Node node) const { return node->as_big_int().bytes(); }
  [[nodiscard]] double floating(Node node) const { return *node->get_if<double>(); }
  [[nodiscard]] std::complex<double> complex(Node node) const { return *node->get_if<std::complex<double>>(); }
  [[nodiscard]] std::string_view str(Node node) const {
    const std::string& text = *node->get_if<std::string>();
    const std::size_t bad = find_bad_utf8(text);
    if (bad != text.size()) fail_text(bad);
    return text;
  }
  [[nodiscard]] std::uint32_t str_hash(Node node) const noexcept { return cheap_hash(*node->get_if<std::string>()); }
  [[nodiscard]] bool same_str(Node node, Node other) const noexcept {
    const std::string& text = *node->get_if<std::string>();
    const std::string& candidate = *other->get_if<std::string>();
    return text.size() == candidate.size() && text.size() <= limits::memo_text_bytes &&
           same_run(text.data(), candidate.data(), text.size());
  }
  [[nodiscard]] std::span<const std::byte> bytes(Node node) const { return node->as_bytes().span(); }
  [[nodiscard]] std::uint32_t channel(Node node) const;
  [[nodiscard]] std::string type_name(Node node) const { return std::string(kind_name(node->kind())); }

  [[nodiscard]] std::size_t size(Node node) const {
    if (const Dict* dict = node->get_if<Dict>()) return dict->size();
    return row(node).size();
  }
  [[nodiscard]] Cursor open(Node node) const {
    Cursor cursor;
    if (const Dict* dict = node->get_if<Dict>()) {
      cursor.item = std::to_address(dict->begin());
      cursor.last_item = cursor.item + dict->size();
    } else {
      const std::span<const Value> values = row(node);
      cursor.at = values.data();
      cursor.end = cursor.at + values.size();
    }
    return cursor;
  }
  [[nodiscard]] bool next(Cursor& cursor, Node& node) const noexcept {
    if (cursor.at != cursor.end) {
      node = cursor.at++;
      return true;
    }
    if (cursor.value != nullptr) {
      node = std::exchange(cursor.value, nullptr);
      return true;
    }
    if (cursor.item == cursor.last_item) return false;
    node = &cursor.item->first;
    cursor.value = &cursor.item->second;
    ++cursor.item;
    return true;
  }

 private:
  [[nodiscard]] static std::span<const Value> row(Node node) {
    switch (node->kind()) {
      case Kind::list: return node->as_list();
      case Kind::tuple: return node->as_tuple();
      case Kind::set: return node->as_set();
      default: return node->as_frozenset();
    }
  }

  [[noreturn]] static void fail_text(std::size_t at);

  ChannelTable* channels_;
};
static_assert(ItemWalker<ValueWalker>);

class ValueBuilder {
 public:
  using Node = Value;

  explicit ValueBuilder(ChannelTable* channels) : channels_(channels) {}

  [[nodiscard]] Value make_none() const noexcept { return {}; }
  [[nodiscard]] Value make_bool(bool value) const noexcept { return value; }
  [[nodiscard]] Value make_integer(std::int64_t value) const noexcept { return value; }
  [[nodiscard]] Value make_big_integer(std::span<const std::byte> bytes) const { return BigInt::from_bytes(bytes); }
  [[nodiscard]] Value make_float(double value) const noexcept { return value; }
  [[nodiscard]] Value make_complex(double real, double imaginary) const noexcept {
    return std::complex<double>(real, imaginary);
  }
  [[nodiscard]] Value make_str(std::string_view text) const { return text; }
  [[nodiscard]] Value repeat_str(const Value& str) const { return std::string_view(*str.get_if<std::string>()); }
  [[nodiscard]] Value make_bytes(std::span<const std::byte> bytes) const { return Bytes(bytes); }
  [[nodiscard]] Value make_tuple(std::span<Value> items) const {
    return Tuple(List(std::make_move_iterator(items.begin()), std::make_move_iterator(items.end())));
  }
  [[nodiscard]] Value make_frozenset(std::span<Value> members) const {
    Set set;
    set.take_members(members);
    return FrozenSet(std::move(set));
  }
  [[nodiscard]] Value make_list() const noexcept { return List(); }
  [[nodiscard]] Value make_dict() const noexcept { return Dict(); }
  [[nodiscard]] Value make_set() const noexcept { return Set(); }
  void append(Value& list, std::span<Value> items) const {
    List& all = *list.get_if<List>();
    const std::size_t needed = all.size() + items.size();
    if (needed > all.capacity()) all.reserve(std::max(needed, all.capacity() * 2));
    for (Value& item : items) all.push_back(std::move(item));
  }
  void replace(Value& list, std::size_t at, Value& item) const { (*list.get_if<List>())[at] = std::move(item); }
  void set_items(Value& dict, std::span<Value> keys_and_values) const {
    dict.get_if<Dict>()->take_items(keys_and_values);
  }
  void add(Value& set, std::span<Value> members) const { set.get_if<Set>()->take_members(members); }
  [[nodiscard]] Value make_channel(std::uint32_t id) const;

 private:
  ChannelTable* channels_;
};
static_assert(DumpBuilder<ValueBuilder>);

}  // namespace gangway::detail
