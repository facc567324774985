#include <gangway/death_record.hpp>

#include <gtest/gtest.h>

#include <signal.h>

namespace gangway {
namespace {

TEST(DeathRecord, summary_says_how_it_ended) {
  const struct {
    DeathRecord death;
    std::string summary;
  } cases[] = {
      {{0, {}, {}}, "exit status 0"},
      {{3, {}, {}}, "exit status 3"},
      {{{}, SIGSEGV, {}}, "killed by SIGSEGV (signal 11)"},
      {{{}, SIGKILL, {}}, "killed by SIGKILL (signal 9), from outside (out of memory?)"},
      {{{}, SIGKILL, {}, false, false}, "killed by SIGKILL (signal 9), from outside"},
      {{{}, SIGKILL, {}, false, true},
       "killed by SIGKILL (signal 9), from outside (out of memory: the kernel killed somebody for it meanwhile)"},
      {{{}, SIGKILL, {}, true}, "killed by SIGKILL (signal 9), by this program"},
      {{{}, SIGTERM, {}, true}, "killed by SIGTERM (signal 15), by this program"},
      {{{}, SIGTERM, {}}, "killed by SIGTERM (signal 15)"},
      {{{}, SIGABRT, {}}, "killed by SIGABRT (signal 6)"},
      {{{}, SIGRTMIN, {}}, "killed by SIGRTMIN (signal " + std::to_string(SIGRTMIN) + ")"},
      {{{}, SIGRTMIN + 2, {}}, "killed by SIGRTMIN+2 (signal " + std::to_string(SIGRTMIN + 2) + ")"},
      {{{}, 999, {}}, "killed by signal 999"},
      {{{}, -1, {}}, "killed by signal -1"},
      {{}, ""},
      {{{}, {}, "last words\n"}, ""},
  };
  for (const auto& [death, summary] : cases) EXPECT_EQ(death.summary(), summary);
}

TEST(DeathRecord, summary_has_what_the_interpreter_said_of_its_crash) {
  const auto crashed = [](std::string text) { return DeathRecord{{}, SIGABRT, std::move(text)}.summary(); };
  const std::string plain = "killed by SIGABRT (signal 6)";
  EXPECT_EQ(crashed("warning\nFatal Python error: Aborted\n\nCurrent thread 0x1:\n  File \"x\"\n"),
            plain + ": Fatal Python error: Aborted");
  EXPECT_EQ(crashed("Fatal Python error: first\nFatal Python error: last"), plain + ": Fatal Python error: last");
  EXPECT_EQ(crashed("he said 'Fatal Python error: no'"), plain);
  EXPECT_EQ(crashed("Fatal Python error: 1\nhe said Fatal Python error: 2"), plain + ": Fatal Python error: 1");
  EXPECT_EQ(crashed("Fatal Python error: \x1b[31m"), plain + ": Fatal Python error: \\x1b[31m");
  EXPECT_EQ(crashed("Fatal Python error: " + std::string(1000, 'x')).size(), plain.size() + 2 + 200);
  EXPECT_EQ((DeathRecord{1, {}, "Fatal Python error: x"}.summary()), "exit status 1");
}

TEST(DeathRecord, is_known_by_status_or_signal_not_by_stderr) {
  EXPECT_FALSE(DeathRecord{}.known());
  EXPECT_FALSE((DeathRecord{{}, {}, "last words"}.known()));
  EXPECT_TRUE((DeathRecord{0, {}, {}}.known()));
  EXPECT_TRUE((DeathRecord{{}, SIGTERM, {}}.known()));
}

}  // namespace
}  // namespace gangway
