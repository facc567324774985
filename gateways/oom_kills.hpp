// How often this system's kernel has killed a process for lack of memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace gangway::detail {

/// From /proc/vmstat, which counts kills by the limit of a cgroup too (Linux 4.13). Nothing
/// where it does not say.
[[nodiscard]] inline std::optional<std::uint64_t> oom_kills() {
  std::ifstream file("/proc/vmstat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  constexpr std::string_view name = "\noom_kill ";
  const std::size_t at = text.find(name);
  if (at == text.npos) return {};
  return std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

}  // namespace gangway::detail
