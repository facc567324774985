#include "gateways/agent_path.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include <gangway/error.hpp>

namespace gangway::detail {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> candidates() {
  std::vector<fs::path> places;
#ifdef GANGWAY_BUILD_AGENT
  places.emplace_back(GANGWAY_BUILD_AGENT);
#endif
  Dl_info library;
  if (::dladdr(reinterpret_cast<void*>(&native_agent_path), &library) != 0 && library.dli_fname != nullptr) {
    const fs::path beside = fs::path(library.dli_fname).parent_path();
    places.push_back(beside / GANGWAY_AGENT_FROM_LIB);
    places.push_back(beside / GANGWAY_AGENT_FROM_PACKAGE);  // we are in the extension module
  }
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!program.empty()) places.push_back(program.parent_path() / "gangway-agent");
  places.emplace_back(GANGWAY_INSTALLED_AGENT);
  return places;
}

std::string find_native_agent() {
  std::string tried;
  for (const fs::path& place : candidates()) {
    if (::access(place.c_str(), X_OK) == 0) return place.lexically_normal().string();
    tried += "\n  " + place.lexically_normal().string();
  }
  throw_error(errc::spawn_failed,
              "no native agent found; set GANGWAY_AGENT to it, or use popen//python=python3. Looked for:" + tried);
}

}  // namespace

std::string native_agent_path() {
  if (const char* const given = std::getenv("GANGWAY_AGENT"); given != nullptr && *given != '\0') return given;
  static const std::string found = find_native_agent();
  return found;
}

}  // namespace gangway::detail
