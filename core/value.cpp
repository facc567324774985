#include <gangway/value.hpp>

#include <cmath>

#include <gangway/error.hpp>

namespace gangway {

namespace {

bool is_number(Kind kind) {
  return kind == Kind::boolean || kind == Kind::integer || kind == Kind::floating || kind == Kind::complex ||
         kind == Kind::big_integer;
}

// Exact: 2^53 + 1 does not equal the double 2^53.
bool equal(std::int64_t integer, double floating) {
  return floating >= -0x1p63 && floating < 0x1p63 && std::trunc(floating) == floating &&
         static_cast<std::int64_t>(floating) == integer;
}

std::int64_t small_integer(const Value& value) { return value.is_bool() ? value.as_bool() : value.as_int(); }

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_complex()) {
    if (b.is_complex()) return a.as_complex() == b.as_complex();
    return a.as_complex().imag() == 0 && equal_numbers(a.as_complex().real(), b);
  }
  if (b.is_complex()) return equal_numbers(b, a);
  if (a.is_float()) {
    if (b.is_float()) return a.as_float() == b.as_float();
    return b.is_big_int() ? b.as_big_int() == a.as_float() : equal(small_integer(b), a.as_float());
  }
  if (b.is_float()) return equal_numbers(b, a);
  if (a.is_big_int() || b.is_big_int()) {
    return a.is_big_int() && b.is_big_int() && a.as_big_int() == b.as_big_int();
  }
  return small_integer(a) == small_integer(b);
}

const Set* members(const Value& value) {
  return value.is_frozenset() ? &value.as_frozenset().members() : value.get_if<Set>();
}

}  // namespace

std::string_view kind_name(Kind kind) noexcept {
  switch (kind) {
    case Kind::none: return "None";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::floating: return "float";
    case Kind::complex: return "complex";
    case Kind::str: return "str";
    case Kind::bytes: return "bytes";
    case Kind::big_integer: return "int beyond 64 bits";
    case Kind::list: return "list";
    case Kind::tuple: return "tuple";
    case Kind::dict: return "dict";
    case Kind::set: return "set";
    case Kind::frozenset: return "frozenset";
    case Kind::channel: return "Channel";
  }
  return "?";
}

Value::Value(BigInt from) noexcept : kind_(Kind::none) {
  if (const auto small = from.to_int64()) {
    integer_ = *small;
    kind_ = Kind::integer;
  } else {
    new (&big_) BigInt(std::move(from));
    kind_ = Kind::big_integer;
  }
}

void Value::copy(const Value& other) {
  switch (other.kind_) {
    case Kind::none: break;
    case Kind::boolean: boolean_ = other.boolean_; break;
    case Kind::integer: integer_ = other.integer_; break;
    case Kind::floating: floating_ = other.floating_; break;
    case Kind::complex: new (&complex_) std::complex<double>(other.complex_); break;
    case Kind::str: new (&str_) std::string(other.str_); break;
    case Kind::bytes: new (&bytes_) Bytes(other.bytes_); break;
    case Kind::big_integer: new (&big_) BigInt(other.big_); break;
    case Kind::list: new (&list_) List(other.list_); break;
    case Kind::tuple: new (&tuple_) Tuple(other.tuple_); break;
    case Kind::dict: new (&dict_) Dict(other.dict_); break;
    case Kind::set: new (&set_) Set(other.set_); break;
    case Kind::frozenset: new (&frozenset_) FrozenSet(other.frozenset_); break;
    case Kind::channel: new (&channel_) ChannelRef(other.channel_); break;
  }
  kind_ = other.kind_;
}

void Value::take_container(Value& other) noexcept {
  const Kind kind = other.kind_;
  switch (kind) {
    case Kind::bytes: new (&bytes_) Bytes(std::move(other.bytes_)); break;
    case Kind::big_integer: new (&big_) BigInt(std::move(other.big_)); break;
    case Kind::list: new (&list_) List(std::move(other.list_)); break;
    case Kind::tuple: new (&tuple_) Tuple(std::move(other.tuple_)); break;
    case Kind::dict: new (&dict_) Dict(std::move(other.dict_)); break;
    case Kind::set: new (&set_) Set(std::move(other.set_)); break;
    case Kind::frozenset: new (&frozenset_) FrozenSet(std::move(other.frozenset_)); break;
    case Kind::channel: new (&channel_) ChannelRef(std::move(other.channel_)); break;
    default: break;
  }
  other.destroy();
  kind_ = kind;
}

void Value::destroy() noexcept {
  switch (kind_) {
    case Kind::str: str_.~basic_string(); break;
    case Kind::bytes: bytes_.~Bytes(); break;
    case Kind::big_integer: big_.~BigInt(); break;
    case Kind::list: list_.~List(); break;
    case Kind::tuple: tuple_.~Tuple(); break;
    case Kind::dict: dict_.~Dict(); break;
    case Kind::set: set_.~Set(); break;
    case Kind::frozenset: frozenset_.~FrozenSet(); break;
    case Kind::channel: channel_.~ChannelRef(); break;
    default: break;
  }
  kind_ = Kind::none;
}

bool Value::hashable() const noexcept {
  switch (kind_) {
    case Kind::list:
    case Kind::dict:
    case Kind::set: return false;
    case Kind::tuple:
      for (const Value& item : tuple_) {
        if (!item.hashable()) return false;
      }
      return true;
    default: return true;
  }
}

void Value::throw_bad_cast(Kind wanted) const {
  throw Error(errc::bad_cast,
              "the value is of kind " + std::string(kind_name(kind_)) + ", not " + std::string(kind_name(wanted)));
}

bool operator==(const Tuple& a, const Tuple& b) { return a.items_ == b.items_; }

bool operator==(const Value& a, const Value& b) {
  if (a.kind_ != b.kind_) {
    if (is_number(a.kind_) && is_number(b.kind_)) return equal_numbers(a, b);
    const Set* left = members(a);
    const Set* right = members(b);
    return left != nullptr && right != nullptr && *left == *right;
  }
  switch (a.kind_) {
    case Kind::none: return true;
    case Kind::boolean: return a.boolean_ == b.boolean_;
    case Kind::integer: return a.integer_ == b.integer_;
    case Kind::floating: return a.floating_ == b.floating_;
    case Kind::complex: return a.complex_ == b.complex_;
    case Kind::str: return a.str_ == b.str_;
    case Kind::bytes: return a.bytes_ == b.bytes_;
    case Kind::big_integer: return a.big_ == b.big_;
    case Kind::list: return a.list_ == b.list_;
    case Kind::tuple: return a.tuple_ == b.tuple_;
    case Kind::dict: return a.dict_ == b.dict_;
    case Kind::set: return a.set_ == b.set_;
    case Kind::frozenset: return a.frozenset_ == b.frozenset_;
    case Kind::channel: return a.channel_ == b.channel_;
  }
  return false;
}

}  // namespace gangway
