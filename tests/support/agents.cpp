#include "tests/support/agents.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include <sys/socket.h>
#include <unistd.h>

#include "gateways/socket_address.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/server_process.hpp"

namespace gangway::test {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  std::istringstream stream{std::string(text)};
  for (std::string part; std::getline(stream, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

bool executable(const fs::path& path) {
  std::error_code problem;
  return fs::is_regular_file(path, problem) && ::access(path.c_str(), X_OK) == 0;
}

// A version of pyenv's by its directory's name: "3.6.15", "pypy3.10-7.3.12".
bool is_version(std::string_view directory, std::string_view wanted) {
  return directory == wanted ||
         (directory.starts_with(wanted) && (directory[wanted.size()] == '.' || wanted == "pypy3"));
}

// `version`: "3.6", "pypy3".
std::string find_python(std::string_view version) {
  const std::string program = version.starts_with("pypy") ? std::string(version) : "python" + std::string(version);
  if (const std::string given = environment("GANGWAY_TEST_PYTHONS"); !given.empty()) {
    for (const std::string& path : split(given)) {
      std::error_code problem;
      const std::string real = fs::canonical(path, problem);
      // By what it is called, or by the version of the directory it is in.
      if (fs::path(path).filename() == program || fs::path(real).filename().string().starts_with(program) ||
          is_version(fs::path(real).parent_path().parent_path().filename().string(), version))
        return path;
    }
    return {};
  }
  for (const std::string& directory : split(environment("PATH"))) {
    if (directory.find("/shims") != directory.npos) continue;  // pyenv's, which end with an error as often as not
    if (executable(fs::path(directory) / program)) return fs::path(directory) / program;
  }
  std::error_code problem;
  std::string found;
  for (const auto& entry : fs::directory_iterator(environment("HOME") + "/.pyenv/versions", problem)) {
    const fs::path path = entry.path() / "bin" / program;
    if (is_version(entry.path().filename().string(), version) && executable(path))
      found = std::max(found, path.string());
  }
  return found;
}

std::string free_port() {
  const auto socket = detail::FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = detail::SocketAddress::numeric({"127.0.0.1", 0}).at(0);
  (void)::bind(socket.get(), address.get(), address.size);
  return std::to_string(detail::SocketAddress::local(socket.get()).port());
}

Agent native_agent(const std::string& name) {
#ifdef GANGWAY_TEST_NATIVE
  return {name, "popen", {}};
#else
  return {name, "popen", "this build was configured without the native agent"};
#endif
}

Agent extension() {
  const bool missing = extension_agent().command.empty();
  return {"extension", "popen", missing ? "no extension module that this interpreter can load" : ""};
}

Agent python(std::string_view version) {
  std::string name = version.starts_with("pypy") ? std::string(version) : "python" + std::string(version);
  const std::string path = find_python(version);
  Agent agent{name, "popen//python=" + path, path.empty() ? "no " + name + " on this machine" : std::string()};
  std::replace(agent.name.begin(), agent.name.end(), '.', '_');
  return agent;
}

// A server for each test; GANGWAY_TEST_AGENTS=served in the environment asks for them.
constexpr const char* test_secret = "of the tests, and of nothing else";

const std::vector<Agent>& served_agents() {
  static const std::vector<Agent> agents = [] {
    const std::string name = "@gangway-test-" + std::to_string(::getpid());
    return std::vector<Agent>{{"unix", "unix=" + name, {}}, {"tls", "socket=127.0.0.1:" + free_port(), {}}};
  }();
  return agents;
}

std::unique_ptr<ServerProcess> server_for(const Agent& agent) {
  if (agent.spec.starts_with("unix=")) return std::make_unique<ServerProcess>(std::vector{agent.spec.substr(5)});
  if (!agent.spec.starts_with("socket=")) return nullptr;
  ::setenv("GANGWAY_SECRET", test_secret, 1);
  const TemporaryDirectory directory;
  const std::string secret = directory.write("secret", test_secret);
  fs::permissions(secret, fs::perms::owner_read);
  return std::make_unique<ServerProcess>(std::vector<std::string>{agent.spec.substr(7), "--secret-file", secret});
}

std::unique_ptr<ServerProcess> server;  // of the test that runs

}  // namespace

const std::vector<Agent>& main_agents() {
  if (environment("GANGWAY_TEST_AGENTS") == "served") return served_agents();
  static const std::vector<Agent> agents{native_agent("native"),
                                         native_agent("warm"),
                                         extension(),
                                         {"portable", "popen//python=" GANGWAY_TEST_PYTHON, {}}};
  return agents;
}

const std::vector<Agent>& all_agents() {
  static const std::vector<Agent> agents = [] {
    std::vector<Agent> all = main_agents();
    for (const char* const version : {"3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "pypy3"})
      all.push_back(python(version));
    return all;
  }();
  return agents;
}

std::string agent_name(const ::testing::TestParamInfo<Agent>& info) { return info.param.name; }

void GroupTest::SetUp() {
  before_ = Holdings::now();
  cookie_.emplace();
  group_.emplace();
}

void GroupTest::TearDown() {
  group_.reset();
  if (!cookie_) return;  // skipped
  EXPECT_TRUE(wait_for_no_survivors(cookie()));
  if (HasFailure()) kill_survivors(cookie());
  cookie_.reset();
  EXPECT_TRUE(wait_for_no_leaks(before_));
}

void AgentTest::SetUp() {
  if (!GetParam().missing.empty()) GTEST_SKIP() << GetParam().missing;
  if (GetParam().warm()) form_.emplace("GANGWAY_WARM", "1");
  if (GetParam().extension()) form_.emplace("GANGWAY_AGENT", build_bin() + "/extension-agent");
  GroupTest::SetUp();
  server = server_for(GetParam());
}

void AgentTest::TearDown() {
  if (server) {
    end_group();
    server.reset();
  }
  GroupTest::TearDown();
  form_.reset();
}

std::string AgentTest::spec(std::string_view more) {
  std::string text = GetParam().spec;
  if (!more.empty()) text += "//" + std::string(more);
  return text;
}

Value take(Channel& channel) { return channel.receive(patience); }

Value ask(Gateway gateway, std::string_view source) {
  Channel channel = gateway.remote_exec(source);
  return take(channel);
}

std::string remote_error(Channel channel) {
  try {
    channel.waitclose(patience);
    ADD_FAILURE() << "the channel ended without an error";
  } catch (const RemoteError& error) {
    return error.formatted();
  } catch (const Error& error) {
    ADD_FAILURE() << "not a RemoteError: " << error.what();
  }
  return {};
}

ConnectionLost lost(Channel channel) {
  try {
    channel.waitclose(patience);
    ADD_FAILURE() << "the channel ended without an error";
  } catch (const ConnectionLost& error) {
    return error;
  } catch (const Error& error) {
    ADD_FAILURE() << "not a ConnectionLost: " << error.what();
  }
  return {errc::connection_lost, "", {}};
}

Bytes zeros(std::size_t size) {
  Bytes bytes;
  bytes.resize_uninitialized(size);
  std::fill(bytes.begin(), bytes.end(), std::byte{});
  return bytes;
}

// An interpreter that is not sanitized cannot load a module that is.
NativeAgent extension_agent() {
  NativeAgent agent;
#ifdef GANGWAY_TEST_EXTENSION
  if (!sanitized)
    agent.command = {GANGWAY_TEST_PYTHON, "-u", "-c",
                     "__import__('_imp').create_dynamic(__import__('_frozen_importlib').ModuleSpec('_gangway', None, "
                     "origin='" GANGWAY_TEST_EXTENSION "')).serve()"};
#endif
  return agent;
}

std::string build_bin() { return GANGWAY_TEST_BIN; }

TemporaryDirectory::TemporaryDirectory() {
  std::string name = fs::temp_directory_path() / "gangway-test-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(std::string_view name, std::string_view content, bool may_be_run) const {
  std::string path = *this / name;
  std::ofstream(path, std::ios::binary) << content;
  if (may_be_run) fs::permissions(path, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  return path;
}

EnvironmentScope::EnvironmentScope(std::string name, std::optional<std::string> value) : name_(std::move(name)) {
  if (const char* const now = std::getenv(name_.c_str())) previous_ = now;
  if (value)
    ::setenv(name_.c_str(), value->c_str(), 1);
  else
    ::unsetenv(name_.c_str());
}

EnvironmentScope::~EnvironmentScope() {
  if (previous_)
    ::setenv(name_.c_str(), previous_->c_str(), 1);
  else
    ::unsetenv(name_.c_str());
}

}  // namespace gangway::test
