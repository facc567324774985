// Which interpreter was found on which host, for specs without python=: the next search there
// begins with it.
//
// Thread rule: any thread.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include <gangway/xspec.hpp>

namespace gangway::detail {

class FoundInterpreters {
 public:
  /// The path that was found where `spec` leads; "" when none is known.
  [[nodiscard]] std::string of(const XSpec& spec);
  /// Does nothing for a spec that leaves nothing to be found.
  void remember(const XSpec& spec, const std::string& executable);

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> found_;  // by destination
};

}  // namespace gangway::detail
