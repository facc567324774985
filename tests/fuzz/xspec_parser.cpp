// Any text: parses or throws SpecError, and so does every accessor; what parses is what it says.
#include <gangway/xspec.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

/// Either a result or a SpecError that has a text and points into `text`.
template <typename Action>
void attempt(std::string_view text, Action action) {
  try {
    action();
  } catch (const gangway::SpecParseError& error) {
    require(!std::string_view(error.what()).empty());
    require(!error.position() || *error.position() <= text.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt(text, [&] { require(!gangway::split_command(text).empty()); });
  attempt(text, [&] {
    gangway::XSpec spec(text);
    require(spec.text() == text);
    for (const auto& key : spec.keys()) {
      require(spec.has(key) && spec.get(key).has_value() && !key.starts_with('_') && !key.empty());
      require(key.find("//") == key.npos && spec.get(key)->find("//") == std::string::npos);
      attempt(text, [&] { (void)spec.argument(key); });
      attempt(text, [&] { (void)spec.command(key); });
    }
    attempt(text, [&] { (void)spec.kind(); });
    attempt(text, [&] { (void)spec.nice(); });
    attempt(text, [&] { (void)spec.dont_write_bytecode(); });
    attempt(text, [&] { (void)spec.isolated(); });
    attempt(text, [&] { (void)spec.no_site(); });
    attempt(text, [&] { (void)spec.execmodel(); });
    attempt(text, [&] { (void)spec.window(); });
    attempt(text, [&] { (void)spec.max_item(); });
    attempt(text, [&] { require(spec.connect_timeout().count() > 0); });
    attempt(text, [&] { require(spec.keepalive().count() >= 0); });
    attempt(text, [&] { (void)spec.compress(); });
    // Assigned values fail in the same way.
    spec.set("nice", text);
    spec.set("python", text);
    attempt(text, [&] { (void)spec.nice(); });
    attempt(text, [&] { (void)spec.python_command(); });
    require(spec.text() == text);
  });
  return 0;
}
