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
      {{{}, SIGKILL, {}}, "killed by SIGKILL (signal 9)"},
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

TEST(DeathRecord, is_known_by_status_or_signal_not_by_stderr) {
  EXPECT_FALSE(DeathRecord{}.known());
  EXPECT_FALSE((DeathRecord{{}, {}, "last words"}.known()));
  EXPECT_TRUE((DeathRecord{0, {}, {}}.known()));
  EXPECT_TRUE((DeathRecord{{}, SIGTERM, {}}.known()));
}

}  // namespace
}  // namespace gangway
