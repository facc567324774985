// loads of a document from anywhere. The first byte selects the options.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <sstream>
#include <string>

#include <gangway/dump.hpp>
#include <gangway/error.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gangway;
  if (size == 0) return 0;
  const LoadOptions options{.py2str_as_py3str = (data[0] & 1) != 0, .py3str_as_py2str = (data[0] & 2) != 0};
  const auto document = std::as_bytes(std::span(data + 1, size - 1));
  std::optional<Bytes> first;
  try {
    first = dumps(loads(document, options));
  } catch (const LoadError&) {
  }
  std::optional<Bytes> streamed;
  try {
    std::istringstream in(std::string(reinterpret_cast<const char*>(document.data()), document.size()));
    streamed = dumps(load(in, options));
  } catch (const LoadError&) {
  }
  if (first != streamed) std::abort();
  // What was read can be written, and is the same when it is read again.
  if (first.has_value() && dumps(loads(*first)) != *first) std::abort();
  return 0;
}
