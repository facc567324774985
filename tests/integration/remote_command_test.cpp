// The far command line, read by the shells that people log in with.
#include "gateways/remote_command.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>

#include "core/process.hpp"
#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using detail::remote_command;
using ::testing::HasSubstr;

struct Result {
  int status = -1;
  std::string out;
  std::string error;
};

std::string content(const detail::FileDescriptor& fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t size; (size = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, size);
  return text;
}

Result run(std::vector<std::string> argv, std::vector<std::pair<std::string, std::string>> environment = {}) {
  detail::Pipe out = detail::make_pipe();
  detail::Pipe error = detail::make_pipe();
  detail::SpawnRequest request{std::move(argv), std::move(environment), {{out.write.get(), 1}, {error.write.get(), 2}}};
  auto child = detail::ChildProcess::start(request);
  out.write.reset();
  error.write.reset();
  Result result{-1, content(out.read), content(error.read)};
  const auto status = child.wait_for(patience);
  if (status && status->code) result.status = *status->code;
  return result;
}

std::string find_program(const std::string& name) {
  for (const char* const directory : {"/bin/", "/usr/bin/", "/usr/local/bin/"})
    if (::access((directory + name).c_str(), X_OK) == 0) return directory + name;
  return {};
}

class LoginShell : public LeakCheckedTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    shell_ = find_program(GetParam());
    if (shell_.empty()) GTEST_SKIP() << "no " << GetParam() << " on this machine";
  }
  /// As sshd does.
  Result login(const std::string& line, std::vector<std::pair<std::string, std::string>> environment = {}) {
    return run({shell_, "-c", line}, std::move(environment));
  }

 private:
  std::string shell_;
};

INSTANTIATE_TEST_SUITE_P(, LoginShell, ::testing::Values("sh", "bash", "dash", "zsh", "fish", "tcsh", "ksh", "mksh"),
                         [](const auto& shell) { return std::string(shell.param); });

constexpr std::string_view odd = R"(a'b\c!d"e$HOME`id`*~{x,y} %s (f) [g];&|<>#^=@\\ \n!! !x '!' \' \! "\" $(id) %1 ü)";

TEST_P(LoginShell, hands_every_word_on_as_it_is) {
  const auto result = login(remote_command({{"printf", "%s|", std::string(odd), ""}, {"-u", std::string(odd)}, "c"}));
  EXPECT_EQ(result.out, std::string(odd) + "||-u|" + std::string(odd) + "|") << result.error;
  EXPECT_EQ(result.status, 0);
}

TEST_P(LoginShell, sets_the_cookie_and_keeps_the_exit_status) {
  const auto result = login(remote_command({{"sh", "-c", "echo $GANGWAY_COOKIE; exit 7"}, {}, "c00k1e"}));
  EXPECT_EQ(result.out, "c00k1e\n");
  EXPECT_EQ(result.status, 7);
}

TEST_P(LoginShell, finds_an_interpreter) {
  const auto result = login(remote_command(
      {{}, {"-c", "import sys, os; print(sys.argv[1], os.getenv('GANGWAY_COOKIE'))", std::string(odd)}, "c"}));
  EXPECT_EQ(result.out, std::string(odd) + " c\n") << result.error;
}

TEST(FarCommandLine, has_no_newline_and_stays_short) {
  const std::string line = remote_command({{}, {}, "0123456789abcdef0123456789abcdef"});
  EXPECT_EQ(line.find('\n'), line.npos);
  EXPECT_LT(line.size(), 1024u) << "beside the first stage, which is as long";
}

/// A machine by its PATH: programs that say they are some Python, or do whatever.
class Discovery : public LeakCheckedTest {
 protected:
  void has(const std::string& name, const std::string& script) {
    (void)directory_.write(name, "#!/bin/sh\n" + script + "\n", true);
  }
  void has_python(const std::string& name, const std::string& version) {
    has(name, "test \"$1\" = -V && echo \"Python " + version + "\" && exit\necho \"" + name + " runs $*\"");
  }
  Result search(std::string found_before = {}) {
    if (::access((directory_ / "sh").c_str(), X_OK) != 0) ::symlink("/bin/sh", (directory_ / "sh").c_str());
    // What this machine has under its full names is out of the way.
    std::string line = remote_command({{}, {"-u"}, "c", std::move(found_before)});
    for (const char* const real : {" /usr/bin/python3", " /usr/local/bin/python3", " /opt/bin/python3"})
      line.replace(line.find(real), std::string_view(real).size(), " ");
    return run({"/bin/sh", "-c", line}, {{"PATH", directory_.path()}});
  }
  TemporaryDirectory directory_;
};

TEST_F(Discovery, prefers_python3_to_a_newer_one) {
  has_python("python3", "3.8.10");
  has_python("python3.13", "3.13.0rc1+");
  EXPECT_EQ(search().out, "python3 runs -u\n");
}

TEST_F(Discovery, prefers_what_was_found_before_as_long_as_it_is_there) {
  has_python("python3", "3.8.10");
  has_python("my python", "3.9.1");
  EXPECT_EQ(search(directory_ / "my python").out, "my python runs -u\n");
  EXPECT_EQ(search("/no/such/python").out, "python3 runs -u\n");
}

TEST_F(Discovery, goes_on_after_old_and_broken_ones) {
  has_python("python3", "3.5.2");
  has("python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127");
  has_python("python3.10", "3.10.0");
  has_python("python3.9", "3.9.0");
  EXPECT_EQ(search().out, "python3.10 runs -u\n");
}

TEST_F(Discovery, says_what_was_too_old) {
  has_python("python3", "3.5.2");
  has("python", "echo 'Python 2.7.18' >&2");
  has_python("python3.15", "3.1.4");
  const auto result = search();
  EXPECT_EQ(result.status, 127);
  const auto failure = detail::discovery_failure("banner\n" + result.error);
  ASSERT_TRUE(failure) << result.error;
  EXPECT_EQ(failure->code, errc::python_too_old);
  EXPECT_EQ(failure->text, "Python too old: python3 is 3.5.2, python3.15 is 3.1.4, python is 2.7.18, 3.6 is needed");
}

TEST_F(Discovery, says_which_names_it_tried) {
  const auto result = search();
  EXPECT_EQ(result.status, 127);
  EXPECT_EQ(result.out, "");
  const auto failure = detail::discovery_failure(result.error);
  ASSERT_TRUE(failure) << result.error;
  EXPECT_EQ(failure->code, errc::python_not_found);
  EXPECT_THAT(failure->text, HasSubstr("tried python3 python3.15 "));
  EXPECT_THAT(failure->text, HasSubstr(" pypy3"));
}

TEST_F(Discovery, leaves_its_own_input_to_the_agent) {
  has("python3", "test \"$1\" = -V && cat >/dev/null && echo Python 3.9.1 && exit\ncat");
  ::symlink("/bin/cat", (directory_ / "cat").c_str());
  detail::Pipe in = detail::make_pipe();
  ASSERT_EQ(::write(in.write.get(), "bundle", 6), 6);
  in.write.reset();
  const detail::FileDescriptor keep(::dup(0));
  ::dup2(in.read.get(), 0);
  const auto result = search();
  ::dup2(keep.get(), 0);
  EXPECT_EQ(result.out, "bundle");
}

}  // namespace
}  // namespace gangway::test
