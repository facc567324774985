// Value: whatever can be sent on a channel, as a regular C++ value; copied, moved,
// compared and printed like an int.
//
//     Value v = Dict{{"name", "ann"}, {"scores", List{1, 2.5, nullptr}}};
//     v.as_dict().at("scores").as_list().push_back(true);
//     std::cout << v;   // {'name': 'ann', 'scores': [1, 2.5, None, True]}
//
// The kinds are Python's types (spec-docs/items.md). Conversions from and to other C++
// types are in <gangway/convert.hpp>.
//
// Equality is Python's: 1 == 1.0 == True, a set equals a frozenset of the same members,
// NaN equals nothing. It decides about keys of a Dict and members of a Set, too.
//
// One container alone in another needs a Value around it, List{Value(List{})}: compilers
// do not agree whether List{List{}} is a copy.
//
// Copying, comparing, printing and destroying recurse; what arrives is nested at most
// limits::nesting_depth deep.
//
// Threads: like std::vector. A moved-from Value is None.
#pragma once

#include <complex>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iosfwd>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <gangway/big_int.hpp>
#include <gangway/bytes.hpp>

namespace gangway {

class Value;

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,  // fits in 64 bits with sign
  floating,
  complex,
  str,  // UTF-8; the last trivial kind is before this one
  bytes,
  big_integer,  // does not fit in 64 bits; the same type as integer in Python
  list,
  tuple,
  dict,
  set,
  frozenset,
  channel,
};

/// Python's name of the type: "int", "str" ... ("int beyond 64 bits" for big_integer).
[[nodiscard]] std::string_view kind_name(Kind kind) noexcept;

namespace detail {

class KeyIndex;  // a hash table of positions; made when a Dict or Set gets large
class ValueBuilder;
[[nodiscard]] std::uint64_t hash_value(const Value& value);
struct DeleteKeyIndex {
  void operator()(KeyIndex* index) const noexcept;
};
using KeyIndexPtr = std::unique_ptr<KeyIndex, DeleteKeyIndex>;

template <class T>
concept IntegerType =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
    !std::same_as<T, char8_t> && !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

template <class T>
concept TextLike =
    std::convertible_to<const T&, std::string_view> && !std::same_as<T, std::nullptr_t> && !std::same_as<T, Value>;

}  // namespace detail

/// Python's list. Write List{Value(List{})} for a list in a list: List{List{}} nests with g++ 12
/// and copies with clang 14.
using List = std::vector<Value>;

/// Python's tuple: a fixed row of values.
class Tuple {
 public:
  using value_type = Value;
  using iterator = List::iterator;
  using const_iterator = List::const_iterator;

  Tuple() noexcept = default;
  Tuple(std::initializer_list<Value> items);
  explicit Tuple(List items) noexcept;

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] Value& operator[](std::size_t at) noexcept;
  [[nodiscard]] const Value& operator[](std::size_t at) const noexcept;
  [[nodiscard]] Value& at(std::size_t at);
  [[nodiscard]] const Value& at(std::size_t at) const;
  [[nodiscard]] iterator begin() noexcept;
  [[nodiscard]] iterator end() noexcept;
  [[nodiscard]] const_iterator begin() const noexcept;
  [[nodiscard]] const_iterator end() const noexcept;
  [[nodiscard]] const List& items() const noexcept { return items_; }
  /// The values, moved out.
  [[nodiscard]] List take() && noexcept;

  friend bool operator==(const Tuple& a, const Tuple& b);

 private:
  List items_;
};

/// Python's dict: keeps the order of insertion; a key that is set again keeps its place
/// and gets the new value. Keys must be hashable (everything but lists, dicts, sets, and
/// tuples with such inside): Error (errc::bad_cast) otherwise.
class Dict {
 public:
  using Item = std::pair<Value, Value>;
  using value_type = Item;
  using const_iterator = std::vector<Item>::const_iterator;

  Dict() noexcept;
  Dict(std::initializer_list<Item> items);
  Dict(const Dict& other);
  Dict(Dict&& other) noexcept;
  Dict& operator=(const Dict& other);
  Dict& operator=(Dict&& other) noexcept;
  ~Dict();

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept;
  /// In the order of insertion. Keys cannot be changed; values by find, at and [].
  [[nodiscard]] const_iterator begin() const noexcept;
  [[nodiscard]] const_iterator end() const noexcept;

  /// The value of a key, or nullptr.
  [[nodiscard]] Value* find(const Value& key);
  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] bool contains(const Value& key) const { return find(key) != nullptr; }
  /// Throws std::out_of_range with the key's text.
  [[nodiscard]] Value& at(const Value& key);
  [[nodiscard]] const Value& at(const Value& key) const;
  /// Adds None for a key that is not there.
  Value& operator[](Value key);

  // The same for texts, without making a Value of them.
  template <detail::TextLike T>
  [[nodiscard]] Value* find(const T& key) {
    return find_text(key);
  }
  template <detail::TextLike T>
  [[nodiscard]] const Value* find(const T& key) const {
    return const_cast<Dict*>(this)->find_text(key);
  }
  template <detail::TextLike T>
  [[nodiscard]] bool contains(const T& key) const {
    return find(key) != nullptr;
  }
  template <detail::TextLike T>
  [[nodiscard]] Value& at(const T& key) {
    return at_text(key);
  }
  template <detail::TextLike T>
  [[nodiscard]] const Value& at(const T& key) const {
    return const_cast<Dict*>(this)->at_text(key);
  }
  template <detail::TextLike T>
  Value& operator[](const T& key) {
    return slot_text(key);
  }

  /// True when the key was new.
  bool insert_or_assign(Value key, Value value);
  /// False when the key was not there. Takes time in proportion to the size.
  bool erase(const Value& key);
  void clear() noexcept;
  void reserve(std::size_t size);

  /// The same keys with the same values, in any order.
  friend bool operator==(const Dict& a, const Dict& b);

 private:
  friend class detail::ValueBuilder;

  Value* find_text(std::string_view key);
  Value& at_text(std::string_view key);
  Value& slot_text(std::string_view key);
  [[nodiscard]] std::size_t position(const Value& key) const;
  Value& slot(Value&& key);
  void make_index(std::size_t capacity);
  // Keys and values in turn, moved; the keys are known to be hashable.
  void take_items(std::span<Value> keys_and_values);

  std::vector<Item> items_;
  detail::KeyIndexPtr index_;  // see core/key_index.hpp
};

/// Python's set. Members are hashable, as keys of a Dict are; equal ones are kept once.
class Set {
 public:
  using value_type = Value;
  using const_iterator = List::const_iterator;

  Set() noexcept;
  Set(std::initializer_list<Value> members);
  Set(const Set& other);
  Set(Set&& other) noexcept;
  Set& operator=(const Set& other);
  Set& operator=(Set&& other) noexcept;
  ~Set();

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept;
  /// In the order of insertion.
  [[nodiscard]] const_iterator begin() const noexcept;
  [[nodiscard]] const_iterator end() const noexcept;
  [[nodiscard]] bool contains(const Value& member) const;
  /// True when it was new.
  bool insert(Value member);
  /// False when it was not there. Takes time in proportion to the size.
  bool erase(const Value& member);
  void clear() noexcept;
  void reserve(std::size_t size);

  friend bool operator==(const Set& a, const Set& b);

 private:
  friend class detail::ValueBuilder;
  friend std::uint64_t detail::hash_value(const Value& value);

  [[nodiscard]] std::size_t position(const Value& member) const;
  bool add(Value&& member);
  void make_index(std::size_t capacity);
  void take_members(std::span<Value> members);
  [[nodiscard]] std::uint64_t content_hash() const;

  List members_;
  detail::KeyIndexPtr index_;
};

/// Python's frozenset: a Set that is hashable and does not change.
class FrozenSet {
 public:
  using value_type = Value;
  using const_iterator = Set::const_iterator;

  FrozenSet() noexcept = default;
  FrozenSet(std::initializer_list<Value> members) : members_(members) {}
  explicit FrozenSet(Set members) noexcept : members_(std::move(members)) {}

  [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
  [[nodiscard]] bool empty() const noexcept { return members_.empty(); }
  [[nodiscard]] const_iterator begin() const noexcept { return members_.begin(); }
  [[nodiscard]] const_iterator end() const noexcept { return members_.end(); }
  [[nodiscard]] bool contains(const Value& member) const { return members_.contains(member); }
  [[nodiscard]] const Set& members() const noexcept { return members_; }

  friend bool operator==(const FrozenSet& a, const FrozenSet& b) = default;

 private:
  Set members_;
};

/// Stands for a channel inside a value. Core knows no channels: the layer above says what
/// `object` is, and finds the channel by its id when a value arrives.
struct ChannelRef {
  std::uint32_t id = 0;
  std::shared_ptr<void> object;

  friend bool operator==(const ChannelRef& a, const ChannelRef& b) noexcept = default;
};

class Value {
 public:
  Value() noexcept : kind_(Kind::none) {}
  Value(std::nullptr_t) noexcept : kind_(Kind::none) {}
  template <std::same_as<bool> B>
  Value(B from) noexcept : kind_(Kind::boolean), boolean_(from) {}
  template <detail::IntegerType I>
  Value(I from) noexcept(std::signed_integral<I> || sizeof(I) < 8) : kind_(Kind::integer), integer_(0) {
    static_assert(sizeof(I) <= 8);
    if constexpr (std::unsigned_integral<I> && sizeof(I) == 8) {
      if (from > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        kind_ = Kind::none;
        new (&big_) BigInt(static_cast<std::uint64_t>(from));
        kind_ = Kind::big_integer;
        return;
      }
    }
    integer_ = static_cast<std::int64_t>(from);  // NOLINT(bugprone-signed-char-misuse): a number to us
  }
  /// Becomes Kind::integer when it fits in 64 bits.
  Value(BigInt from) noexcept;
  Value(double from) noexcept : kind_(Kind::floating), floating_(from) {}
  Value(float from) noexcept : Value(static_cast<double>(from)) {}
  Value(std::complex<double> from) noexcept : kind_(Kind::complex), complex_(from) {}
  Value(std::string from) noexcept : kind_(Kind::str), str_(std::move(from)) {}
  Value(std::string_view from) : kind_(Kind::str), str_(from) {}
  Value(const char* from) : kind_(Kind::str), str_(from) {}
  Value(Bytes from) noexcept : kind_(Kind::bytes), bytes_(std::move(from)) {}
  Value(List from) noexcept : kind_(Kind::list), list_(std::move(from)) {}
  Value(Tuple from) noexcept : kind_(Kind::tuple), tuple_(std::move(from)) {}
  Value(Dict from) noexcept : kind_(Kind::dict), dict_(std::move(from)) {}
  Value(Set from) noexcept : kind_(Kind::set), set_(std::move(from)) {}
  Value(FrozenSet from) noexcept : kind_(Kind::frozenset), frozenset_(std::move(from)) {}
  Value(ChannelRef from) noexcept : kind_(Kind::channel), channel_(std::move(from)) {}

  Value(const Value& other) : kind_(Kind::none) { copy(other); }
  Value(Value&& other) noexcept : kind_(Kind::none) { take(other); }
  Value& operator=(const Value& other) { return *this = Value(other); }
  Value& operator=(Value&& other) noexcept {
    Value old(std::move(*this));  // `other` may be inside it
    take(other);
    return *this;
  }
  ~Value() {
    if (kind_ < Kind::str) return;
    if (kind_ == Kind::str) {
      str_.~basic_string();
    } else {
      destroy();
    }
  }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is_none() const noexcept { return kind_ == Kind::none; }
  [[nodiscard]] bool is_bool() const noexcept { return kind_ == Kind::boolean; }
  /// An int of 64 bits. Larger ones are is_big_int().
  [[nodiscard]] bool is_int() const noexcept { return kind_ == Kind::integer; }
  [[nodiscard]] bool is_big_int() const noexcept { return kind_ == Kind::big_integer; }
  [[nodiscard]] bool is_float() const noexcept { return kind_ == Kind::floating; }
  [[nodiscard]] bool is_complex() const noexcept { return kind_ == Kind::complex; }
  [[nodiscard]] bool is_str() const noexcept { return kind_ == Kind::str; }
  [[nodiscard]] bool is_bytes() const noexcept { return kind_ == Kind::bytes; }
  [[nodiscard]] bool is_list() const noexcept { return kind_ == Kind::list; }
  [[nodiscard]] bool is_tuple() const noexcept { return kind_ == Kind::tuple; }
  [[nodiscard]] bool is_dict() const noexcept { return kind_ == Kind::dict; }
  [[nodiscard]] bool is_set() const noexcept { return kind_ == Kind::set; }
  [[nodiscard]] bool is_frozenset() const noexcept { return kind_ == Kind::frozenset; }
  [[nodiscard]] bool is_channel() const noexcept { return kind_ == Kind::channel; }

  /// What is inside, or nullptr when that is of another type: get_if<std::int64_t>(),
  /// get_if<std::string>(), get_if<List>() ...
  template <class T>
  [[nodiscard]] T* get_if() noexcept {
    return kind_ == kind_of<T>() ? &member<T>() : nullptr;
  }
  template <class T>
  [[nodiscard]] const T* get_if() const noexcept {
    return const_cast<Value*>(this)->get_if<T>();
  }

  // What is inside. Throws Error (errc::bad_cast) that names both kinds for another one.
  [[nodiscard]] bool as_bool() const { return as<bool>(); }
  [[nodiscard]] std::int64_t as_int() const { return as<std::int64_t>(); }
  [[nodiscard]] const BigInt& as_big_int() const { return as<BigInt>(); }
  [[nodiscard]] double as_float() const { return as<double>(); }
  [[nodiscard]] std::complex<double> as_complex() const { return as<std::complex<double>>(); }
  [[nodiscard]] std::string& as_str() { return as<std::string>(); }
  [[nodiscard]] const std::string& as_str() const { return as<std::string>(); }
  [[nodiscard]] Bytes& as_bytes() { return as<Bytes>(); }
  [[nodiscard]] const Bytes& as_bytes() const { return as<Bytes>(); }
  [[nodiscard]] List& as_list() { return as<List>(); }
  [[nodiscard]] const List& as_list() const { return as<List>(); }
  [[nodiscard]] Tuple& as_tuple() { return as<Tuple>(); }
  [[nodiscard]] const Tuple& as_tuple() const { return as<Tuple>(); }
  [[nodiscard]] Dict& as_dict() { return as<Dict>(); }
  [[nodiscard]] const Dict& as_dict() const { return as<Dict>(); }
  [[nodiscard]] Set& as_set() { return as<Set>(); }
  [[nodiscard]] const Set& as_set() const { return as<Set>(); }
  [[nodiscard]] FrozenSet& as_frozenset() { return as<FrozenSet>(); }
  [[nodiscard]] const FrozenSet& as_frozenset() const { return as<FrozenSet>(); }
  [[nodiscard]] ChannelRef& as_channel() { return as<ChannelRef>(); }
  [[nodiscard]] const ChannelRef& as_channel() const { return as<ChannelRef>(); }

  /// Whether it can be a key of a Dict or a member of a Set.
  [[nodiscard]] bool hashable() const noexcept;

  friend bool operator==(const Value& a, const Value& b);

 private:
  template <class T>
  static constexpr Kind kind_of() noexcept;
  template <class T>
  [[nodiscard]] T& member() noexcept;
  template <class T>
  [[nodiscard]] T& as() {
    if (kind_ != kind_of<T>()) throw_bad_cast(kind_of<T>());
    return member<T>();
  }
  template <class T>
  [[nodiscard]] const T& as() const {
    return const_cast<Value*>(this)->as<T>();
  }
  [[noreturn]] void throw_bad_cast(Kind wanted) const;

  // All three: this one is None, or made None.
  void copy(const Value& other);
  void take(Value& other) noexcept;
  void take_container(Value& other) noexcept;
  void destroy() noexcept;

  Kind kind_;
  union {
    bool boolean_;
    std::int64_t integer_;
    double floating_;
    std::complex<double> complex_;
    std::string str_;
    Bytes bytes_;
    BigInt big_;
    List list_;
    Tuple tuple_;
    Dict dict_;
    Set set_;
    FrozenSet frozenset_;
    ChannelRef channel_;
  };
};

/// Python's repr: {'a': [1, 2.5, None], b'x': (True,)}.
[[nodiscard]] std::string to_string(const Value& value);
std::ostream& operator<<(std::ostream& out, const Value& value);

// ---------------------------------------------------------------------------------------

template <class T>
constexpr Kind Value::kind_of() noexcept {
  if constexpr (std::same_as<T, bool>) {
    return Kind::boolean;
  } else if constexpr (std::same_as<T, std::int64_t>) {
    return Kind::integer;
  } else if constexpr (std::same_as<T, double>) {
    return Kind::floating;
  } else if constexpr (std::same_as<T, std::complex<double>>) {
    return Kind::complex;
  } else if constexpr (std::same_as<T, std::string>) {
    return Kind::str;
  } else if constexpr (std::same_as<T, Bytes>) {
    return Kind::bytes;
  } else if constexpr (std::same_as<T, BigInt>) {
    return Kind::big_integer;
  } else if constexpr (std::same_as<T, List>) {
    return Kind::list;
  } else if constexpr (std::same_as<T, Tuple>) {
    return Kind::tuple;
  } else if constexpr (std::same_as<T, Dict>) {
    return Kind::dict;
  } else if constexpr (std::same_as<T, Set>) {
    return Kind::set;
  } else if constexpr (std::same_as<T, FrozenSet>) {
    return Kind::frozenset;
  } else {
    static_assert(std::same_as<T, ChannelRef>, "a Value holds no such type; see <gangway/convert.hpp>");
    return Kind::channel;
  }
}

template <class T>
T& Value::member() noexcept {
  constexpr Kind kind = kind_of<T>();
  if constexpr (kind == Kind::boolean) {
    return boolean_;
  } else if constexpr (kind == Kind::integer) {
    return integer_;
  } else if constexpr (kind == Kind::floating) {
    return floating_;
  } else if constexpr (kind == Kind::complex) {
    return complex_;
  } else if constexpr (kind == Kind::str) {
    return str_;
  } else if constexpr (kind == Kind::bytes) {
    return bytes_;
  } else if constexpr (kind == Kind::big_integer) {
    return big_;
  } else if constexpr (kind == Kind::list) {
    return list_;
  } else if constexpr (kind == Kind::tuple) {
    return tuple_;
  } else if constexpr (kind == Kind::dict) {
    return dict_;
  } else if constexpr (kind == Kind::set) {
    return set_;
  } else if constexpr (kind == Kind::frozenset) {
    return frozenset_;
  } else {
    return channel_;
  }
}

// The decoder moves every value, so this is written for few jumps: the trivial kinds are
// the first ones, and none is larger than a complex.
inline void Value::take(Value& other) noexcept {
  if (other.kind_ < Kind::str) {
    std::memcpy(static_cast<void*>(&complex_), static_cast<const void*>(&other.complex_), sizeof complex_);
  } else if (other.kind_ == Kind::str) {
    new (&str_) std::string(std::move(other.str_));
    other.str_.~basic_string();
  } else {
    take_container(other);
    return;
  }
  kind_ = other.kind_;
  other.kind_ = Kind::none;
}

inline Tuple::Tuple(List items) noexcept : items_(std::move(items)) {}
inline Tuple::Tuple(std::initializer_list<Value> items) : items_(items) {}
inline std::size_t Tuple::size() const noexcept { return items_.size(); }
inline bool Tuple::empty() const noexcept { return items_.empty(); }
inline Value& Tuple::operator[](std::size_t at) noexcept { return items_[at]; }
inline const Value& Tuple::operator[](std::size_t at) const noexcept { return items_[at]; }
inline Value& Tuple::at(std::size_t at) { return items_.at(at); }
inline const Value& Tuple::at(std::size_t at) const { return items_.at(at); }
inline Tuple::iterator Tuple::begin() noexcept { return items_.begin(); }
inline Tuple::iterator Tuple::end() noexcept { return items_.end(); }
inline Tuple::const_iterator Tuple::begin() const noexcept { return items_.begin(); }
inline Tuple::const_iterator Tuple::end() const noexcept { return items_.end(); }
inline List Tuple::take() && noexcept { return std::move(items_); }

inline Dict::Dict() noexcept = default;
inline Dict::Dict(Dict&& other) noexcept = default;
inline Dict::~Dict() = default;
inline std::size_t Dict::size() const noexcept { return items_.size(); }
inline bool Dict::empty() const noexcept { return items_.empty(); }
inline Dict::const_iterator Dict::begin() const noexcept { return items_.begin(); }
inline Dict::const_iterator Dict::end() const noexcept { return items_.end(); }

inline Set::Set() noexcept = default;
inline Set::Set(Set&& other) noexcept = default;
inline Set::~Set() = default;
inline std::size_t Set::size() const noexcept { return members_.size(); }
inline bool Set::empty() const noexcept { return members_.empty(); }
inline Set::const_iterator Set::begin() const noexcept { return members_.begin(); }
inline Set::const_iterator Set::end() const noexcept { return members_.end(); }

}  // namespace gangway
