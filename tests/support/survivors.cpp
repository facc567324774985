#include "tests/support/survivors.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include <signal.h>
#include <unistd.h>

#include "tests/support/poll.hpp"

namespace gangway::test {

namespace {

constexpr auto variable = "GANGWAY_COOKIE";

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  try {
    return {std::istreambuf_iterator<char>(file), {}};
  } catch (const std::ios_base::failure&) {  // the process went away meanwhile: ESRCH
    return {};
  }
}

bool has_entry(std::string_view environment, std::string_view wanted) {
  while (!environment.empty()) {
    const std::size_t end = std::min(environment.find('\0'), environment.size());
    if (environment.substr(0, end) == wanted) return true;
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return false;
}

}  // namespace

std::string new_cookie() {
  std::random_device random;
  return std::to_string(::getpid()) + "-" + std::to_string(random()) + std::to_string(random());
}

CookieScope::CookieScope() : value_(new_cookie()) {
  const char* previous = std::getenv(variable);
  had_previous_ = previous != nullptr;
  if (previous) previous_ = previous;
  ::setenv(variable, value_.c_str(), 1);
}

CookieScope::~CookieScope() {
  if (had_previous_) {
    ::setenv(variable, previous_.c_str(), 1);
  } else {
    ::unsetenv(variable);
  }
}

std::vector<Survivor> find_survivors(std::string_view cookie) {
  const std::string wanted = std::string(variable) + "=" + std::string(cookie);
  std::vector<Survivor> result;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (problem != std::errc() || end != name.data() + name.size() || pid == ::getpid()) continue;
    if (!has_entry(contents(entry.path() / "environ"), wanted)) continue;
    std::string command = contents(entry.path() / "cmdline");
    std::replace(command.begin(), command.end(), '\0', ' ');
    result.push_back({pid, command});
  }
  return result;
}

::testing::AssertionResult wait_for_no_survivors(std::string_view cookie, std::chrono::milliseconds timeout) {
  std::vector<Survivor> left;
  const auto none = [&] {
    left = find_survivors(cookie);
    return left.empty();
  };
  if (eventually(none, timeout)) return ::testing::AssertionSuccess();
  auto failure = ::testing::AssertionFailure() << left.size() << " survivors after " << timeout.count() << " ms:";
  for (const Survivor& survivor : left) failure << "\n  " << survivor.pid << " " << survivor.command;
  return failure;
}

void kill_survivors(std::string_view cookie) {
  for (const Survivor& survivor : find_survivors(cookie)) ::kill(survivor.pid, SIGKILL);
}

}  // namespace gangway::test
