#include <gangway/convert.hpp>

namespace gangway::detail {

namespace {

// The beginning of a value's text, without writing out all of a large one.
std::string brief(const Value& value) {
  constexpr std::size_t most = 60;
  switch (value.kind()) {
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::set:
    case Kind::frozenset:
    case Kind::big_integer: return "a value";
    case Kind::str: return to_string(Value(std::string_view(value.as_str()).substr(0, most)));
    case Kind::bytes: return to_string(Value(Bytes(value.as_bytes().view().substr(0, most))));
    default: return to_string(value);
  }
}

}  // namespace

void throw_cannot_convert(const Value& value, std::string_view wanted) {
  throw Error(errc::bad_cast, "cannot convert " + brief(value) + " (" + std::string(kind_name(value.kind())) + ") to " +
                                  std::string(wanted));
}

void throw_wrong_length(std::size_t length, std::size_t wanted) {
  throw Error(errc::bad_cast, "there are " + std::to_string(length) + " items, not " + std::to_string(wanted));
}

double to_double(const Value& value, std::string_view wanted) {
  if (const double* number = value.get_if<double>()) return *number;
  if (const std::int64_t* number = value.get_if<std::int64_t>()) {
    const auto rounded = static_cast<double>(*number);
    if (value == Value(rounded)) return rounded;
  }
  throw_cannot_convert(value, wanted);
}

const List& row_items(const Value& value, std::string_view wanted) {
  if (const List* list = value.get_if<List>()) return *list;
  if (const Tuple* tuple = value.get_if<Tuple>()) return tuple->items();
  throw_cannot_convert(value, wanted);
}

}  // namespace gangway::detail
