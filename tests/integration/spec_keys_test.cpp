// What the keys of a spec do to the far side.
#include <gmock/gmock.h>

#include <filesystem>

#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class SpecKeys : public AgentTest {
 protected:
  template <class Exception = StartError>
  [[nodiscard]] std::string start_error(std::string_view more) {
    try {
      (void)start(more);
      ADD_FAILURE() << "started";
    } catch (const Exception& error) {
      return error.what();
    }
    return {};
  }
};
INSTANTIATE_TEST_SUITE_P(, SpecKeys, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(SpecKeys, env_is_set_before_any_task) {
  const EnvironmentScope inherited("GANGWAY_TEST_INHERITED", "from here");
  const EnvironmentScope replaced("GANGWAY_TEST_REPLACED", "old");
  Gateway gateway = start(
      "env:GANGWAY_TEST_REPLACED=new=x//env:GANGWAY_TEST_EMPTY=//env:GANGWAY_TEST_TRUE//"
      "env:GANGWAY_TEST_TEXT=\u00e4 \u20ac");
  constexpr auto source = R"(
        import os
        channel.send([os.environ.get("GANGWAY_TEST_" + n) for n in ("INHERITED", "REPLACED", "EMPTY", "TRUE", "TEXT", "NO")])
      )";
  EXPECT_EQ(ask(gateway, source), (List{"from here", "new=x", "", "True", "\u00e4 \u20ac", nullptr}));
  EXPECT_EQ(ask(gateway,
                "import subprocess; channel.send(subprocess.check_output('echo $GANGWAY_TEST_REPLACED', "
                "shell=True))"),
            Value(bytes_of("new=x\n")));
}

TEST_P(SpecKeys, chdir_is_created) {
  const TemporaryDirectory directory;
  const std::string path = directory / "made \u00e4";
  constexpr auto where = "import os; channel.send(os.getcwd())";
  EXPECT_EQ(ask<std::string>(start("chdir=" + path), where), path);
  EXPECT_EQ(ask<std::string>(start("chdir=" + path), where), path) << "and may be there";
  EXPECT_EQ(ask<std::string>(start(), where), std::filesystem::current_path().string());
}

TEST_P(SpecKeys, chdir_that_fails_fails_the_start) {
  const TemporaryDirectory directory;
  const std::string file = directory.write("file", "");
  EXPECT_THAT(start_error("chdir=" + file), AllOf(HasSubstr("the agent cannot serve"), HasSubstr(file)));
  EXPECT_THAT(start_error("chdir=" + file), Not(HasSubstr("protocol")));
  EXPECT_THAT(start_error("chdir=" + file + "/below"), HasSubstr(file));
}

TEST_P(SpecKeys, nice_is_added) {
  const int here = ::getpriority(PRIO_PROCESS, 0);
  EXPECT_EQ(ask<int>(start("nice=3"), "import os; channel.send(os.nice(0))"), std::min(here + 3, 19));
  EXPECT_EQ(ask<int>(start(), "import os; channel.send(os.nice(0))"), here);
  EXPECT_THAT(start_error<SpecError>("nice=very"), HasSubstr("nice"));
}

TEST_P(SpecKeys, dont_write_bytecode) {
  const EnvironmentScope unset("PYTHONDONTWRITEBYTECODE", {});
  EXPECT_EQ(ask(start("dont_write_bytecode"), "import sys; channel.send(sys.dont_write_bytecode)"), true);
  EXPECT_EQ(ask(start(), "import sys; channel.send(sys.dont_write_bytecode)"), false);
}

TEST_P(SpecKeys, isolated_and_no_site_are_pythons_own) {
  constexpr auto source = R"(
        import sys
        channel.send([sys.flags.isolated == 1, sys.flags.no_site == 1, "site" in sys.modules,
                      any(place.endswith("-packages") for place in sys.path)])
      )";
  EXPECT_EQ(ask(start(), source), (List{false, false, true, true}));
  EXPECT_EQ(ask(start("isolated"), source), (List{true, false, true, true}));
  EXPECT_EQ(ask(start("no_site"), source), (List{false, true, false, false}));
  EXPECT_EQ(ask(start("isolated//no_site=yes"), source), (List{true, true, false, false}));
  EXPECT_EQ(ask(start("isolated=no//no_site=0"), source), (List{false, false, true, true}));
  EXPECT_THAT(start_error<SpecError>("no_site=perhaps"), HasSubstr("'perhaps'"));
}

TEST_P(SpecKeys, isolated_does_not_look_into_the_environment) {
  const EnvironmentScope place("PYTHONPATH", "/of/the/environment");
  constexpr auto source = "import sys; channel.send('/of/the/environment' in sys.path)";
  EXPECT_EQ(ask(start(), source), true);
  EXPECT_EQ(ask(start("isolated"), source), false);
}

TEST_P(SpecKeys, id_names_both_ends) {
  Gateway gateway = start("id=worker \u00e4");
  EXPECT_EQ(gateway.id(), "worker \u00e4");
  EXPECT_EQ(group().at("worker \u00e4"), gateway);
  EXPECT_EQ(ask<std::string>(gateway, "channel.send(channel.gateway.id)"), "worker \u00e4-worker");
}

TEST_P(SpecKeys, unknown_execution_models_are_refused) {
  EXPECT_THAT(start_error<SpecError>("execmodel=fibers"), HasSubstr("execmodel"));
  if (GetParam().name == "portable") return;
  EXPECT_THAT(start_error<SpecError>("execmodel=gevent"), HasSubstr("python=python3")) << "says who has them";
}

TEST_P(SpecKeys, bad_values_start_no_process) {
  for (const std::string_view bad : {"window=12", "window=x", "max_item=0", "keepalive=-1", "connect_timeout=0",
                                     "stdout=inherit", "stderr=nul", "popen", "ssh=host", "id=", "chdir="})
    EXPECT_THROW((void)start(bad), SpecError) << bad;
  EXPECT_THROW((void)start("via=nobody"), Error);
  EXPECT_TRUE(find_survivors(cookie()).empty());
  EXPECT_TRUE(group().empty());
}

TEST_P(SpecKeys, spec_can_be_read_back) {
  const std::string text = spec("id=a//anything=goes//flag");
  const Gateway gateway = group().makegateway(text);
  EXPECT_EQ(gateway.spec().text(), text);
  EXPECT_EQ(gateway.spec().get("anything"), "goes");
}

class PythonKey : public GroupTest {};

TEST_F(PythonKey, is_split_by_shell_rules) {
  const TemporaryDirectory directory;
  const std::string wrapper =
      directory.write("my python", "#!/bin/sh\nMARK=$1; export MARK; shift\nexec /usr/bin/python3 \"$@\"\n", true);
  Gateway gateway = group().makegateway("popen//python='" + wrapper + "' \"a b\"");
  EXPECT_EQ(ask<std::string>(gateway, "import os; channel.send(os.environ['MARK'])"), "a b");
  EXPECT_THROW(group().makegateway("popen//python='open"), SpecError);
}

TEST_F(PythonKey, is_looked_up_on_the_path) {
  EXPECT_EQ(ask<int>(group().makegateway("popen//python=python3"), "channel.send(1)"), 1);
}

TEST_F(PythonKey, far_side_needs_nothing_of_ours_and_loads_nothing_it_does_not_need) {
  Gateway gateway = group().makegateway("popen//python=/usr/bin/python3 -I -S");
  const auto modules = ask<std::vector<std::string>>(gateway, "import sys; channel.send(sorted(sys.modules))");
  for (const std::string_view absent : {"execnet", "gangway", "py", "threading", "pickle", "re", "typing", "logging"})
    EXPECT_EQ(std::count(modules.begin(), modules.end(), absent), 0) << absent;
}

}  // namespace
}  // namespace gangway::test
