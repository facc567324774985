#include "core/trace.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/file_descriptor.hpp"
#include "tests/support/leak_check.hpp"

namespace gangway::trace {
namespace {

using gangway::detail::FileDescriptor;
using gangway::detail::Pipe;
namespace fs = std::filesystem;

/// Runs `body` in a copy of this process with stderr replaced, and returns its exit code.
/// A copy, because stderr, the environment and the tracing of a process are all one of a kind.
template <typename Body>
int in_a_copy(int stderr_fd, Body body) {
  const pid_t copy = ::fork();
  if (copy == 0) {
    if (stderr_fd >= 0) ::dup2(stderr_fd, STDERR_FILENO);
    ::_exit(body());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(copy, &status, 0), copy);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// What `body` writes to stderr, with $$ for the number of its process.
template <typename Body>
std::string stderr_of(Body body) {
  Pipe pipe = gangway::detail::make_pipe();
  ::fcntl(pipe.write.get(), F_SETPIPE_SZ, 1 << 20);
  const pid_t copy = ::fork();
  if (copy == 0) {
    ::dup2(pipe.write.get(), STDERR_FILENO);
    body();
    ::_exit(0);
  }
  pipe.write.reset();
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t count; (count = ::read(pipe.read.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::waitpid(copy, nullptr, 0);
  const std::string number = std::to_string(copy);
  for (std::size_t at; (at = text.find(number)) != text.npos;) text.replace(at, number.size(), "$$");
  return text;
}

class Trace : public gangway::test::LeakCheckedTest {
 protected:
  void SetUp() override {
    LeakCheckedTest::SetUp();
    std::string pattern = (fs::temp_directory_path() / "gangway-trace-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    fs::remove_all(directory_);
    LeakCheckedTest::TearDown();
  }

  void set_environment(const char* gangway, const char* execnet = nullptr) const {
    ::unsetenv("GANGWAY_DEBUG");
    ::unsetenv("EXECNET_DEBUG");
    if (gangway) ::setenv("GANGWAY_DEBUG", gangway, 1);
    if (execnet) ::setenv("EXECNET_DEBUG", execnet, 1);
    ::setenv("TMPDIR", directory_.c_str(), 1);
    configure();
  }

  static std::string contents(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path directory_;
};

TEST_F(Trace, is_switched_by_the_environment) {
  const struct {
    const char* gangway;
    const char* execnet;
    int level;
  } cases[] = {
      {nullptr, nullptr, 0}, {"", nullptr, 0},    {"0", nullptr, 0}, {"1", nullptr, 1},
      {"2", nullptr, 2},     {"yes", nullptr, 1}, {nullptr, "", 0},  {nullptr, "1", 1},
      {nullptr, "2", 2},     {nullptr, "0", 1},   {"2", "1", 2},     {"", "2", 0},
  };
  for (const auto& [gangway, execnet, expected] : cases) {
    EXPECT_EQ(in_a_copy(-1,
                        [&, gangway = gangway, execnet = execnet] {
                          set_environment(gangway, execnet);
                          return on() == (level() > 0) ? level() : 100;
                        }),
              expected)
        << (gangway ? gangway : "-") << " " << (execnet ? execnet : "-");
  }
}

TEST_F(Trace, writes_lines_with_the_process_number_to_stderr) {
  EXPECT_EQ(stderr_of([] {
              set_level(2);
              line("hello");
              log("channel ", 7, " closed");
            }),
            "[$$] hello\n[$$] channel 7 closed\n");
}

TEST_F(Trace, writes_to_a_file_in_the_temporary_directory) {
  EXPECT_EQ(stderr_of([&] {
              set_environment("1");
              line("one");
              line("two");
              if (file_name() != (directory_ / ("gangway-debug-" + std::to_string(::getpid()))).string()) ::_exit(1);
            }),
            "");
  ASSERT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);
  const fs::path file = fs::directory_iterator(directory_)->path();
  const std::string number = file.filename().string().substr(std::string("gangway-debug-").size());
  EXPECT_EQ(contents(file), "[" + number + "] one\n[" + number + "] two\n");
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(Trace, names_its_file_like_execnet_when_that_ones_variable_asked_for_it) {
  EXPECT_EQ(in_a_copy(-1,
                      [&] {
                        set_environment(nullptr, "1");
                        return file_name() == directory_ / ("execnet-debug-" + std::to_string(::getpid())) ? 1 : 0;
                      }),
            1);
}

TEST_F(Trace, gives_a_forked_child_a_file_of_its_own) {
  EXPECT_EQ(in_a_copy(-1,
                      [&] {
                        set_environment("1");
                        line("parent");
                        return in_a_copy(-1, [] {
                          line("child");
                          return 0;
                        });
                      }),
            0);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 2);
}

/// Notices whether anybody formats it.
struct Watched {
  bool* formatted;
  friend std::ostream& operator<<(std::ostream& out, const Watched& watched) {
    *watched.formatted = true;
    return out << "watched";
  }
};

TEST_F(Trace, does_nothing_and_formats_nothing_when_off) {
  EXPECT_EQ(in_a_copy(-1,
                      [] {
                        bool formatted = false;
                        set_level(0);
                        log(Watched{&formatted});
                        return formatted ? 1 : 0;
                      }),
            0);
  EXPECT_EQ(stderr_of([] {
              set_level(0);
              line("nothing");
            }),
            "");
}

TEST_F(Trace, escapes_what_a_peer_may_have_sent) {
  EXPECT_EQ(stderr_of([] {
              set_level(2);
              line("\x1b[2Jforged\n[1] line\r\xff");
            }),
            "[$$] \\x1b[2Jforged\\n[1] line\\x0d\\xff\n");
}

TEST_F(Trace, cuts_lines_that_one_write_could_not_hold) {
  const std::string text = stderr_of([] {
    set_level(2);
    line(std::string(100'000, 'x'));
    line(std::string(4096, '\x1b'));
    std::string wide;
    while (wide.size() < 5000) wide += "日";
    line(wide);
  });
  std::size_t lines = 0;
  for (std::size_t at = 0; at < text.size(); ++lines) {
    const std::size_t end = text.find('\n', at);
    ASSERT_NE(end, text.npos);
    EXPECT_TRUE(text.substr(at, end - at).ends_with("..."));
    at = end + 1;
  }
  EXPECT_EQ(lines, 3u);
}

TEST_F(Trace, keeps_errno) {
  EXPECT_EQ(in_a_copy(-1,
                      [&] {
                        set_environment("1");
                        errno = ENOTTY;
                        line("text");
                        return errno == ENOTTY ? 0 : 1;
                      }),
            0);
}

TEST_F(Trace, drops_and_counts_when_nobody_reads) {
  Pipe pipe = gangway::detail::make_pipe();
  EXPECT_EQ(in_a_copy(pipe.write.get(),
                      [&] {
                        set_level(2);
                        const auto start = std::chrono::steady_clock::now();
                        for (int i = 0; i < 1000; ++i) line(std::string(500, 'x'));  // 64 KiB fit
                        if (std::chrono::steady_clock::now() - start > std::chrono::seconds(5)) return 1;
                        const std::uint64_t missing = dropped();
                        if (missing < 800 || missing >= 1000) return 2;
                        // Once somebody reads, the next line says how many are missing.
                        std::array<char, 1 << 16> buffer;
                        if (::read(pipe.read.get(), buffer.data(), buffer.size()) <= 0) return 3;
                        line("again");
                        if (dropped() != missing) return 4;
                        std::string rest;
                        if (gangway::detail::set_nonblocking(pipe.read.get())) return 6;
                        for (ssize_t n; (n = ::read(pipe.read.get(), buffer.data(), buffer.size())) > 0;) {
                          rest.append(buffer.data(), static_cast<std::size_t>(n));
                        }
                        return rest.ends_with("(" + std::to_string(missing) + " lines dropped) again\n") ? 0 : 5;
                      }),
            0);
}

TEST_F(Trace, survives_a_sink_that_went_away) {
  Pipe pipe = gangway::detail::make_pipe();
  pipe.read.reset();
  EXPECT_EQ(in_a_copy(pipe.write.get(),
                      [] {
                        std::signal(SIGPIPE, SIG_DFL);
                        set_level(2);
                        line("to nobody");
                        sigset_t pending;
                        ::sigpending(&pending);
                        return dropped() == 1 && !sigismember(&pending, SIGPIPE) ? 0 : 1;
                      }),
            0);
  EXPECT_EQ(in_a_copy(-1,
                      [] {
                        ::close(STDERR_FILENO);
                        set_level(2);
                        line("to nobody");
                        return dropped() == 1 ? 0 : 1;
                      }),
            0);
}

TEST_F(Trace, drops_and_counts_when_the_disk_is_full) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(in_a_copy(full.get(),
                      [] {
                        set_level(2);
                        for (int i = 0; i < 100; ++i) line("lost");
                        return static_cast<int>(dropped());
                      }),
            100);
  EXPECT_EQ(in_a_copy(-1,
                      [&] {
                        set_environment("1");
                        const rlimit none{0, 0};
                        ::setrlimit(RLIMIT_FSIZE, &none);
                        line("lost");
                        return static_cast<int>(dropped());
                      }),
            1);
}

TEST_F(Trace, writes_to_no_file_that_somebody_else_prepared) {
  const fs::path target = directory_ / "target";
  std::ofstream(target) << "precious";
  const auto prepared_by = [&](auto prepare) {
    return in_a_copy(-1, [&] {
      set_environment("1");
      prepare(file_name());
      line("text");
      return static_cast<int>(dropped());
    });
  };
  EXPECT_EQ(prepared_by([&](const std::string& name) { fs::create_symlink(target, name); }), 1);
  EXPECT_EQ(prepared_by([&](const std::string& name) { fs::create_hard_link(target, name); }), 1);
  EXPECT_EQ(prepared_by([&](const std::string& name) { ::mkfifo(name.c_str(), 0666); }), 1);
  EXPECT_EQ(prepared_by([&](const std::string& name) { fs::create_directory(name); }), 1);
  if (::geteuid() == 0) {
    EXPECT_EQ(prepared_by([&](const std::string& name) {
                std::ofstream(name) << "";
                ASSERT_EQ(::chown(name.c_str(), 65534, 65534), 0);
              }),
              1);
  }
  EXPECT_EQ(contents(target), "precious");
}

TEST_F(Trace, keeps_the_lines_of_many_threads_whole) {
  const std::string text = stderr_of([] {
    set_level(2);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 100; ++i) line("thread " + std::to_string(t) + " " + std::string(50, 'x') + " end");
      });
    }
    for (auto& thread : threads) thread.join();
  });
  std::size_t at = 0;
  while (at < text.size()) {
    const std::string one = text.substr(at, text.find('\n', at) - at);
    EXPECT_TRUE(one.starts_with("[$$] ") && one.ends_with(" end")) << one;
    at += one.size() + 1;
  }
}

}  // namespace
}  // namespace gangway::trace
