#include <gangway/dump.hpp>

#include <istream>
#include <ostream>

#include "core/dump_decoder.hpp"
#include "core/dump_encoder.hpp"
#include "core/span_source.hpp"
#include "core/value_nodes.hpp"

namespace gangway {

namespace {

class StreamSource {
 public:
  explicit StreamSource(std::istream& in) : in_(in) {}

  [[nodiscard]] bool next(std::uint8_t& byte) {
    const auto got = in_.get();
    if (got == std::istream::traits_type::eof()) return false;
    byte = static_cast<std::uint8_t>(got);
    return true;
  }
  [[nodiscard]] std::optional<std::span<const std::byte>> take(std::size_t count) {
    constexpr std::size_t step = 64 * 1024;  // memory is taken for what came, not for what is announced
    run_.clear();
    while (run_.size() < count) {
      const std::size_t have = run_.size();
      const std::size_t more = std::min(count - have, std::max(step, have));
      run_.resize_uninitialized(have + more);
      in_.read(reinterpret_cast<char*>(run_.data() + have), static_cast<std::streamsize>(more));
      if (static_cast<std::size_t>(in_.gcount()) != more) return std::nullopt;
    }
    return std::as_const(run_).span();
  }

 private:
  std::istream& in_;
  Bytes run_;
};

template <class Source>
Value load_from(Source source, LoadOptions options) {
  detail::ValueBuilder builder(nullptr);
  return detail::DumpDecoder<detail::ValueBuilder, Source>(builder, source, options).decode();
}

}  // namespace

Bytes dumps(const Value& value) {
  Bytes document;
  detail::ValueWalker walker(nullptr);
  detail::DumpEncoder<detail::ValueWalker>(walker, document).encode(&value);
  return document;
}

Value loads(std::span<const std::byte> document, LoadOptions options) {
  return load_from(detail::SpanSource(document), options);
}

void dump(std::ostream& out, const Value& value) {
  const Bytes document = dumps(value);
  out.write(document.view().data(), static_cast<std::streamsize>(document.size()));
}

Value load(std::istream& in, LoadOptions options) { return load_from(StreamSource(in), options); }

}  // namespace gangway
