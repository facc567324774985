// The C++ codecs as a filter, for codec_diff.py. Reads records from standard input: a
// length of 4 bytes (little endian) and a pickle stream, then the same for a dump of the
// same value. Writes for each: the stream encoded again, the dump encoded again, and the
// text of what is read from the former; or an empty record and the error.
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include <gangway/dump.hpp>
#include <gangway/error.hpp>

#include "core/item_codec.hpp"

namespace {

using gangway::Bytes;

std::optional<Bytes> read_record() {
  unsigned char head[4];
  if (std::fread(head, 1, 4, stdin) != 4) return std::nullopt;
  const std::uint32_t size = head[0] | head[1] << 8 | head[2] << 16 | static_cast<std::uint32_t>(head[3]) << 24;
  Bytes record;
  record.resize_uninitialized(size);
  if (std::fread(record.data(), 1, size, stdin) != size) return std::nullopt;
  return record;
}

void write_record(std::string_view record) {
  const auto size = static_cast<std::uint32_t>(record.size());
  const unsigned char head[4] = {static_cast<unsigned char>(size), static_cast<unsigned char>(size >> 8),
                                 static_cast<unsigned char>(size >> 16), static_cast<unsigned char>(size >> 24)};
  std::fwrite(head, 1, 4, stdout);
  std::fwrite(record.data(), 1, record.size(), stdout);
}

}  // namespace

int main() {
  while (const auto stream = read_record()) {
    const auto document = read_record();
    if (!document.has_value()) return 1;
    std::string text;
    try {
      const gangway::Value value = gangway::detail::decode_pickle(*stream);
      const Bytes again = gangway::detail::encode_pickle(value);
      text = to_string(gangway::detail::decode_pickle(again));
      write_record(again.view());
    } catch (const gangway::Error& error) {
      text = error.what();
      write_record("");
    }
    try {
      write_record(gangway::dumps(gangway::loads(*document)).view());
    } catch (const gangway::Error& error) {
      text = error.what();
      write_record("");
    }
    write_record(text);
  }
}
