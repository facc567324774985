#include "gateways/agent_path.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <vector>

#include <gangway/error.hpp>
#include <gangway/native_agent.hpp>

namespace gangway::detail {

namespace {

namespace fs = std::filesystem;

/// What the program's headers said. A copy: a plugin that said it may be unloaded.
struct InstalledHeader {
  std::mutex mutex;
  fs::path name;
};

InstalledHeader& installed_header() {
  static InstalledHeader header;
  return header;
}

/// The file that this is in: a shared library, or "" for the program itself.
std::string own_library() {
  Dl_info ignored;
  link_map* object = nullptr;
  if (::dladdr1(reinterpret_cast<void*>(&native_agent_path), &ignored, reinterpret_cast<void**>(&object),
                RTLD_DL_LINKMAP) == 0)
    return {};
  return object->l_name;  // dli_fname would be argv[0] for the program, which is relative to nothing in particular
}

/// Of the machine that a program was compiled on only it knows: elsewhere anybody may have made that place.
bool is_trusted(const fs::path& file) {
  struct stat status;
  return ::stat(file.c_str(), &status) == 0 && (status.st_uid == 0 || status.st_uid == ::geteuid());
}

/// Absolute ones: a program must not run what lies below the working directory.
std::vector<fs::path> candidates() {
  std::vector<fs::path> places;
  const auto add = [&](const fs::path& file, const char* relative) {
    if (file.is_absolute()) places.push_back(file.parent_path() / relative);
  };
  if (const std::string library = own_library(); !library.empty()) {
    add(library, GANGWAY_AGENT_FROM_LIB);
    add(library, GANGWAY_AGENT_FROM_PACKAGE);  // we are in the extension module
  } else {
    std::error_code ignored;
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
    add(program, GANGWAY_AGENT_FROM_BIN);
    add(program, "gangway-agent");
  }
  {
    const std::lock_guard lock(installed_header().mutex);
    const fs::path& header = installed_header().name;
    if (is_trusted(header.parent_path() / GANGWAY_AGENT_FROM_HEADER)) add(header, GANGWAY_AGENT_FROM_HEADER);
  }
#ifdef GANGWAY_BUILD_AGENT
  places.emplace_back(GANGWAY_BUILD_AGENT);
#endif
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

bool installed_with(const char* header) {
  const std::lock_guard lock(installed_header().mutex);
  if (installed_header().name.empty() && fs::path(header).is_absolute()) installed_header().name = header;
  return true;
}

std::string native_agent_path() {
  if (const char* const given = std::getenv("GANGWAY_AGENT"); given != nullptr && *given != '\0') return given;
  static const std::string found = find_native_agent();
  return found;
}

}  // namespace gangway::detail
