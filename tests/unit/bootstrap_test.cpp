// What a start that came to nothing is called.
#include "gateways/bootstrap.hpp"

#include <gmock/gmock.h>

namespace gangway::detail {
namespace {

using ::testing::HasSubstr;

struct Ending {
  const char* spec;
  errc seen;  // by the connection
  DeathRecord death;
  const char* noise;
  errc code;
  const char* text;
};

TEST(BootstrapExplains, how_a_start_ended) {
  const char* const none = "hello\ngangway: no Python found: tried python3 pypy3\n";
  const char* const old = "gangway: Python too old: python3 is 3.5.2, 3.6 is needed\n";
  const std::vector<Ending> table{
      {"ssh=h", errc::connection_lost, {127, {}, none}, "", errc::python_not_found, "ssh=h: no Python found: tried"},
      {"ssh=h", errc::bootstrap_timeout, {{}, {}, none}, "", errc::python_not_found, "tried python3 pypy3"},
      {"ssh=h", errc::protocol_error, {127, {}, none}, "", errc::python_not_found, "tried python3 pypy3"},
      {"ssh=h", errc::connection_lost, {127, {}, old}, "", errc::python_too_old, "ssh=h: Python too old: python3 is"},
      {"popen//python=p", errc::connection_lost, {1, {}, old}, "", errc::python_too_old, "p: Python too old: python3"},
      {"popen//python=p", errc::connection_lost, {127, {}, ""}, "", errc::python_not_found, "p (exit status 127)"},
      {"docker=c//python=p", errc::connection_lost, {127, {}, ""}, "", errc::python_not_found, "p (exit status 127)"},
      {"popen//python=p", errc::connection_lost, {126, {}, ""}, "", errc::bootstrap_failed, "p cannot be executed"},
      {"popen//python=p", errc::connection_lost, {3, {}, ""}, "", errc::bootstrap_failed, "answered: exit status 3"},
      {"ssh=h//python=p", errc::protocol_error, {127, {}, ""}, "hi", errc::python_not_found, "seen"},
      {"ssh=h//via=x", errc::connection_lost, {127, {}, none}, "", errc::python_not_found, "at its hop x: ssh=h: no"},
      {"popen//python=p", errc::protocol_error, {3, {}, ""}, "", errc::bootstrap_failed, "seen"},
      {"ssh=h", errc::connection_lost, {1, {}, ""}, "no logins", errc::shell_refused, "no logins"},
      {"ssh=h//python=p", errc::connection_lost, {0, {}, ""}, "hi", errc::bootstrap_failed, "hi"},
      {"ssh=h", errc::bootstrap_noise, {{}, {}, ""}, "spam", errc::bootstrap_noise, "seen"},
  };
  for (const Ending& row : table) {
    const auto end = Bootstrap(XSpec(row.spec)).explain({row.seen, "seen", row.death}, row.noise);
    EXPECT_EQ(end.code, row.code) << row.spec << ": " << end.text;
    EXPECT_THAT(end.text, HasSubstr(row.text)) << row.spec;
  }
}

TEST(BootstrapExplains, what_hello_said_in_its_own_words) {
  Bootstrap bootstrap(XSpec("popen//python=p"));
  const auto reason = bootstrap.on_hello(Value(Dict{{"protocol", Value(Tuple{Value(9), Value(0)})}}));
  ASSERT_TRUE(reason);
  const auto end = bootstrap.explain(
      {errc::protocol_error, "protocol error: " + *reason, {1, {}, "gangway: Python too old: 3.5.2"}}, "");
  EXPECT_EQ(end.code, errc::version_mismatch);
  EXPECT_EQ(end.text, *reason);
}

}  // namespace
}  // namespace gangway::detail
