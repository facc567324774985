#include "gateways/found_interpreters.hpp"

namespace gangway::detail {

namespace {

// Everything in the spec that decides where it leads; "": nothing is looked for there.
std::string destination(const XSpec& spec) {
  const TransportKind kind = spec.kind();
  if (spec.has("python") || (kind != TransportKind::ssh && kind != TransportKind::vagrant_ssh)) return {};
  std::string all{to_string(kind)};
  for (const std::string_view key : {to_string(kind), std::string_view("ssh_config"), std::string_view("via")})
    all += '\0' + spec.get(key).value_or("");
  return all;
}

}  // namespace

std::string FoundInterpreters::of(const XSpec& spec) {
  const std::lock_guard lock(mutex_);
  const auto found = found_.find(destination(spec));
  return found == found_.end() ? std::string() : found->second;
}

void FoundInterpreters::remember(const XSpec& spec, const std::string& executable) {
  // It goes into a command line: not what the far side could have made up to break it.
  if (!executable.starts_with('/') || executable.find_first_of(std::string_view("\n\r\0", 3)) != executable.npos)
    return;
  std::string where = destination(spec);
  if (where.empty()) return;
  const std::lock_guard lock(mutex_);
  found_[std::move(where)] = executable;
}

}  // namespace gangway::detail
