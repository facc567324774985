// value_from and value_to: between Value and the types that C++ programs use.
//
//     Value v = value_from(std::map<std::string, std::vector<int>>{{"a", {1, 2}}});
//     auto m = value_to<std::map<std::string, std::vector<int>>>(v);
//
// | C++                                             | Value                              |
// |-------------------------------------------------|------------------------------------|
// | bool, integers, float, double, complex          | bool, int, float, complex          |
// | std::string, string_view, const char*           | str                                |
// | Bytes, vector/array/span of std::byte           | bytes                              |
// | vector, deque, list, array, span                | list (value_to: or a tuple)        |
// | pair, tuple                                     | tuple (value_to: or a list)        |
// | map, unordered_map                              | dict                               |
// | set, unordered_set                              | set (value_to: or a frozenset)     |
// | optional                                        | None, or the value                 |
// | variant                                         | value_to: the first that fits      |
// | Value and what it consists of                   | itself                             |
//
// value_to throws Error (errc::bad_cast) that says which value does not fit which type.
// Integers are checked for their range; a bool is no int and an int is no bool; an int
// becomes a double when that is exact, as Python does it for float arguments.
//
// A type of your own takes part with two functions beside it, found by its namespace:
//
//     void gangway_value_from(Value& out, const Point& p) { out = Tuple{p.x, p.y}; }
//     Point gangway_value_to(std::type_identity<Point>, const Value& v) {
//       auto [x, y] = value_to<std::pair<double, double>>(v);
//       return {x, y};
//     }
#pragma once

#include <array>
#include <complex>
#include <concepts>
#include <limits>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <gangway/error.hpp>
#include <gangway/value.hpp>

namespace gangway {

template <class T>
[[nodiscard]] Value value_from(T&& from);

template <class T>
[[nodiscard]] T value_to(const Value& value);
/// Moves what can be moved: texts, bytes, and lists of Values.
template <class T>
[[nodiscard]] T value_to(Value&& value);

namespace detail {

/// "cannot convert -1 (int) to unsigned char": the value is cut after some 60 characters.
[[noreturn]] void throw_cannot_convert(const Value& value, std::string_view wanted);
[[noreturn]] void throw_wrong_length(std::size_t length, std::size_t wanted);

template <class T>
concept HasFromHook = requires(Value& out, const T& from) {
  gangway_value_from(out, from);
};
template <class T>
concept HasToHook = requires(const Value& value) {
  { gangway_value_to(std::type_identity<T>{}, value) } -> std::convertible_to<T>;
};

template <class T>
inline constexpr bool is_value_part = std::same_as<T, Value> || std::same_as<T, BigInt> || std::same_as<T, Bytes> ||
                                      std::same_as<T, List> || std::same_as<T, Tuple> || std::same_as<T, Dict> ||
                                      std::same_as<T, Set> || std::same_as<T, FrozenSet> || std::same_as<T, ChannelRef>;

template <class T, template <class...> class Template>
inline constexpr bool is_instance = false;
template <class... Args, template <class...> class Template>
inline constexpr bool is_instance<Template<Args...>, Template> = true;

template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;

template <class T>
concept TupleLike = is_instance<T, std::pair> || is_instance<T, std::tuple>;
template <class T>
concept MapLike = std::ranges::range<T> && requires {
  typename T::key_type;
  typename T::mapped_type;
};
template <class T>
concept SetLike = std::ranges::range<T> && !MapLike<T> && requires {
  typename T::key_type;
};
template <class T>
concept ByteRow = std::ranges::contiguous_range<T> && std::ranges::sized_range<T> &&
    std::same_as<std::remove_cv_t<std::ranges::range_value_t<T>>, std::byte>;
template <class T>
concept Row = std::ranges::input_range<T> && !MapLike<T> && !SetLike<T> && !ByteRow<T>;
template <class T>
concept GrowableRow = Row<T> && requires(T row, std::ranges::range_value_t<T> item) {
  row.push_back(std::move(item));
};

template <class T>
[[nodiscard]] std::string_view type_name() {
  // "... [with T = int; ...]" or "... [T = int]"
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find("T = ") + 4);
  return text.substr(0, text.find_first_of(";]"));
}

template <class T>
Value value_from_tuple(T&& from) {
  return std::apply(
      [](auto&&... item) {
        List items;
        items.reserve(sizeof...(item));
        (items.push_back(value_from(std::forward<decltype(item)>(item))), ...);
        return Value(Tuple(std::move(items)));
      },
      std::forward<T>(from));
}

template <class T>
Value value_from_row(T&& from) {
  List items;
  if constexpr (std::ranges::sized_range<T>) items.reserve(std::ranges::size(from));
  for (auto&& item : from) {
    if constexpr (std::is_lvalue_reference_v<T> || std::ranges::borrowed_range<T>) {
      items.push_back(value_from(std::as_const(item)));
    } else {
      items.push_back(value_from(std::move(item)));
    }
  }
  return items;
}

template <class T>
T integer_to(const Value& value) {
  if (const std::int64_t* integer = value.get_if<std::int64_t>()) {
    if (std::in_range<T>(*integer)) return static_cast<T>(*integer);
  } else if (const BigInt* big = value.get_if<BigInt>()) {
    if constexpr (std::unsigned_integral<T> && sizeof(T) == 8) {
      if (const auto number = big->to_uint64()) return static_cast<T>(*number);
    }
  }
  throw_cannot_convert(value, type_name<T>());
}

/// Int to double only when nothing is lost.
[[nodiscard]] double to_double(const Value& value, std::string_view wanted);

// The items of a list or a tuple; throws for others.
[[nodiscard]] const List& row_items(const Value& value, std::string_view wanted);

template <class T>
T row_to(const Value& value) {
  using Item = std::ranges::range_value_t<T>;
  const List& items = row_items(value, type_name<T>());
  if constexpr (is_array<T>) {
    constexpr std::size_t wanted = std::tuple_size_v<T>;
    if (items.size() != wanted) throw_wrong_length(items.size(), wanted);
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return T{value_to<Item>(items[I])...}; }
    (std::make_index_sequence<wanted>());
  } else {
    T row;
    if constexpr (requires { row.reserve(items.size()); }) row.reserve(items.size());
    for (const Value& item : items) row.push_back(value_to<Item>(item));
    return row;
  }
}

template <class T>
T tuple_to(const Value& value) {
  const List& items = row_items(value, type_name<T>());
  constexpr std::size_t wanted = std::tuple_size_v<T>;
  if (items.size() != wanted) throw_wrong_length(items.size(), wanted);
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return T{value_to<std::tuple_element_t<I, T>>(items[I])...};
  }
  (std::make_index_sequence<wanted>());
}

template <class T>
T set_to(const Value& value) {
  const Set* members = value.get_if<Set>();
  if (members == nullptr && value.is_frozenset()) members = &value.as_frozenset().members();
  if (members == nullptr) throw_cannot_convert(value, type_name<T>());
  T result;
  for (const Value& member : *members) result.insert(value_to<typename T::key_type>(member));
  return result;
}

template <class T>
T map_to(const Value& value) {
  const Dict* dict = value.get_if<Dict>();
  if (dict == nullptr) throw_cannot_convert(value, type_name<T>());
  T result;
  for (const auto& [key, item] : *dict) {
    result.insert_or_assign(value_to<typename T::key_type>(key), value_to<typename T::mapped_type>(item));
  }
  return result;
}

template <class T, std::size_t I = 0>
T variant_to(const Value& value) {
  if constexpr (I == std::variant_size_v<T>) {
    throw_cannot_convert(value, type_name<T>());
  } else {
    using Alternative = std::variant_alternative_t<I, T>;
    if constexpr (std::same_as<Alternative, std::monostate>) {
      if (value.is_none()) return T(std::in_place_index<I>);
    } else {
      try {
        return T(std::in_place_index<I>, value_to<Alternative>(value));
      } catch (const Error& error) {
        if (error.code() != errc::bad_cast) throw;
      }
    }
    return variant_to<T, I + 1>(value);
  }
}

template <class T>
inline constexpr bool unsupported = false;

}  // namespace detail

template <class From>
Value value_from(From&& from) {
  using T = std::remove_cvref_t<From>;
  if constexpr (detail::HasFromHook<T>) {
    Value out;
    gangway_value_from(out, from);
    return out;
  } else if constexpr (std::same_as<T, std::nullptr_t> || std::same_as<T, std::monostate> ||
                       std::same_as<T, std::nullopt_t>) {
    return Value();
  } else if constexpr (std::same_as<T, bool> || std::floating_point<T>) {
    return Value(static_cast<std::conditional_t<std::same_as<T, bool>, bool, double>>(from));
  } else if constexpr (detail::is_instance<T, std::complex>) {
    return Value(std::complex<double>(from));
  } else if constexpr (std::same_as<T, std::vector<bool>::reference>) {
    return Value(static_cast<bool>(from));
  } else if constexpr (detail::ByteRow<T> && !std::same_as<T, Bytes>) {
    return Value(Bytes(std::span<const std::byte>(from)));
  } else if constexpr (std::convertible_to<From&&, std::string_view> && !std::same_as<T, std::string>) {
    return Value(std::string_view(from));
  } else if constexpr (std::constructible_from<Value, From&&>) {
    return Value(std::forward<From>(from));
  } else if constexpr (detail::is_instance<T, std::optional>) {
    return from.has_value() ? value_from(*std::forward<From>(from)) : Value();
  } else if constexpr (detail::is_instance<T, std::variant>) {
    return std::visit([](auto&& item) { return value_from(std::forward<decltype(item)>(item)); },
                      std::forward<From>(from));
  } else if constexpr (detail::TupleLike<T>) {
    return detail::value_from_tuple(std::forward<From>(from));
  } else if constexpr (detail::MapLike<T>) {
    Dict dict;
    dict.reserve(from.size());
    for (const auto& [key, item] : from) dict.insert_or_assign(value_from(key), value_from(item));
    return dict;
  } else if constexpr (detail::SetLike<T>) {
    Set set;
    set.reserve(from.size());
    for (const auto& member : from) set.insert(value_from(member));
    return set;
  } else if constexpr (detail::Row<T>) {
    return detail::value_from_row(std::forward<From>(from));
  } else {
    static_assert(detail::unsupported<T>, "no conversion to Value: give the type a gangway_value_from function");
  }
}

template <class T>
T value_to(const Value& value) {
  static_assert(std::same_as<T, std::remove_cvref_t<T>>);
  if constexpr (detail::HasToHook<T>) {
    return gangway_value_to(std::type_identity<T>{}, value);
  } else if constexpr (std::same_as<T, Value>) {
    return value;
  } else if constexpr (std::same_as<T, BigInt>) {
    if (const std::int64_t* integer = value.get_if<std::int64_t>()) return BigInt(*integer);
    if (const BigInt* big = value.get_if<BigInt>()) return *big;
    detail::throw_cannot_convert(value, "BigInt");
  } else if constexpr (std::same_as<T, bool> || detail::is_value_part<T> || std::same_as<T, std::string>) {
    if (const T* part = value.get_if<T>()) return *part;
    detail::throw_cannot_convert(value, detail::type_name<T>());
  } else if constexpr (detail::IntegerType<T>) {
    return detail::integer_to<T>(value);
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(detail::to_double(value, detail::type_name<T>()));
  } else if constexpr (detail::is_instance<T, std::complex>) {
    if (const auto* number = value.get_if<std::complex<double>>()) return T(*number);
    return T(static_cast<typename T::value_type>(detail::to_double(value, detail::type_name<T>())));
  } else if constexpr (detail::ByteRow<T>) {
    const Bytes* bytes = value.get_if<Bytes>();
    if (bytes == nullptr) detail::throw_cannot_convert(value, detail::type_name<T>());
    if constexpr (detail::is_array<T>) {
      T row;
      if (bytes->size() != row.size()) detail::throw_wrong_length(bytes->size(), row.size());
      std::copy(bytes->begin(), bytes->end(), row.begin());
      return row;
    } else {
      static_assert(
          std::constructible_from<T, Bytes::const_iterator, Bytes::const_iterator> && !std::ranges::borrowed_range<T>,
          "value_to needs a type that owns its bytes");
      return T(bytes->begin(), bytes->end());
    }
  } else if constexpr (detail::is_instance<T, std::optional>) {
    if (value.is_none()) return std::nullopt;
    return value_to<typename T::value_type>(value);
  } else if constexpr (detail::is_instance<T, std::variant>) {
    return detail::variant_to<T>(value);
  } else if constexpr (detail::TupleLike<T>) {
    return detail::tuple_to<T>(value);
  } else if constexpr (detail::MapLike<T>) {
    return detail::map_to<T>(value);
  } else if constexpr (detail::SetLike<T>) {
    return detail::set_to<T>(value);
  } else if constexpr (detail::GrowableRow<T> || detail::is_array<T>) {
    return detail::row_to<T>(value);
  } else {
    static_assert(detail::unsupported<T>, "no conversion from Value: give the type a gangway_value_to function");
  }
}

template <class T>
T value_to(Value&& value) {
  if constexpr (std::same_as<T, Value>) {
    return std::move(value);
  } else if constexpr (!detail::HasToHook<T> && !std::same_as<T, BigInt> &&
                       (detail::is_value_part<T> || std::same_as<T, std::string>)) {
    if (T* part = value.get_if<T>()) return std::move(*part);
    detail::throw_cannot_convert(value, detail::type_name<T>());
  } else {
    return value_to<T>(std::as_const(value));
  }
}

}  // namespace gangway
