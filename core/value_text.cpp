// Values as Python would print them.
#include <charconv>
#include <cmath>
#include <ostream>

#include <gangway/value.hpp>

namespace gangway {

namespace {

constexpr char hex_digits[] = "0123456789abcdef";

// Fixed notation from 1e-4 to below 1e16, as float.__repr__; without ".0" inside a complex.
void write_double(std::string& out, double number, bool with_point) {
  if (std::isnan(number)) {
    out += "nan";
    return;
  }
  if (std::isinf(number)) {
    out += number < 0 ? "-inf" : "inf";
    return;
  }
  char text[40];
  const double size = std::fabs(number);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end =
      std::to_chars(text, text + sizeof text, number, fixed ? std::chars_format::fixed : std::chars_format::scientific);
  const std::string_view written(text, static_cast<std::size_t>(end.ptr - text));
  out += written;
  if (fixed && with_point && written.find('.') == std::string_view::npos) out += ".0";
}

void write_complex(std::string& out, std::complex<double> number) {
  if (number.real() == 0 && !std::signbit(number.real())) {
    write_double(out, number.imag(), false);
    out += 'j';
    return;
  }
  out += '(';
  write_double(out, number.real(), false);
  if (!std::signbit(number.imag()) || std::isnan(number.imag())) out += '+';
  write_double(out, number.imag(), false);
  out += "j)";
}

// True for what was written as an escape.
bool write_escape(std::string& out, unsigned char c, char quote) {
  switch (c) {
    case '\n': out += "\\n"; return true;
    case '\r': out += "\\r"; return true;
    case '\t': out += "\\t"; return true;
    case '\\': out += "\\\\"; return true;
    default: break;
  }
  if (c == static_cast<unsigned char>(quote)) {
    out += '\\';
    out += quote;
    return true;
  }
  if (c >= 0x20 && c != 0x7f) return false;
  out += "\\x";
  out += hex_digits[c >> 4];
  out += hex_digits[c & 15];
  return true;
}

char quote_for(std::string_view text) {
  return text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
}

// Characters outside ASCII stand for themselves, the C1 controls (U+0080 to U+009F) excepted.
void write_text(std::string& out, std::string_view text) {
  const char quote = quote_for(text);
  out += quote;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0U) == 0x80) {
      const auto control = static_cast<unsigned char>(text[++i]);
      out += "\\x";
      out += hex_digits[control >> 4];
      out += hex_digits[control & 15];
    } else if (!write_escape(out, c, quote)) {
      out += text[i];
    }
  }
  out += quote;
}

void write_bytes(std::string& out, std::string_view bytes) {
  const char quote = quote_for(bytes);
  out += 'b';
  out += quote;
  for (const char byte : bytes) {
    const auto c = static_cast<unsigned char>(byte);
    if (c >= 0x80) {
      out += "\\x";
      out += hex_digits[c >> 4];
      out += hex_digits[c & 15];
    } else if (!write_escape(out, c, quote)) {
      out += byte;
    }
  }
  out += quote;
}

void write(std::string& out, const Value& value);

template <class Row>
void write_row(std::string& out, const Row& row) {
  const char* separator = "";
  for (const Value& item : row) {
    out += separator;
    write(out, item);
    separator = ", ";
  }
}

void write_dict(std::string& out, const Dict& dict) {
  const char* separator = "";
  for (const auto& [key, item] : dict) {
    out += separator;
    write(out, key);
    out += ": ";
    write(out, item);
    separator = ", ";
  }
}

void write(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Kind::none: out += "None"; break;
    case Kind::boolean: out += value.as_bool() ? "True" : "False"; break;
    case Kind::integer: out += std::to_string(value.as_int()); break;
    case Kind::floating: write_double(out, value.as_float(), true); break;
    case Kind::complex: write_complex(out, value.as_complex()); break;
    case Kind::str: write_text(out, value.as_str()); break;
    case Kind::bytes: write_bytes(out, value.as_bytes().view()); break;
    case Kind::big_integer: out += value.as_big_int().to_decimal(); break;
    case Kind::list:
      out += '[';
      write_row(out, value.as_list());
      out += ']';
      break;
    case Kind::tuple:
      out += '(';
      write_row(out, value.as_tuple());
      out += value.as_tuple().size() == 1 ? ",)" : ")";
      break;
    case Kind::dict:
      out += '{';
      write_dict(out, value.as_dict());
      out += '}';
      break;
    case Kind::set:
      out += value.as_set().empty() ? "set(" : "{";
      write_row(out, value.as_set());
      out += value.as_set().empty() ? ")" : "}";
      break;
    case Kind::frozenset:
      out += value.as_frozenset().empty() ? "frozenset(" : "frozenset({";
      write_row(out, value.as_frozenset());
      out += value.as_frozenset().empty() ? ")" : "})";
      break;
    case Kind::channel: out += "<Channel id=" + std::to_string(value.as_channel().id) + ">"; break;
  }
}

}  // namespace

std::string to_string(const Value& value) {
  std::string out;
  write(out, value);
  return out;
}

std::ostream& operator<<(std::ostream& out, const Value& value) { return out << to_string(value); }

}  // namespace gangway
