#include <gangway/xspec.hpp>

#include <gangway/limits.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <unordered_set>

namespace gangway {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using Words = std::vector<std::string>;

/// The SpecParseError that `action` throws.
SpecParseError refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const SpecParseError& error) {
    EXPECT_EQ(error.code(), errc::bad_spec);
    return error;
  }
  ADD_FAILURE() << "was not refused";
  return {SpecFault::bad_value, {}, ""};
}

// The grammar.

TEST(XSpec, splits_at_double_slashes_and_first_equals) {
  const XSpec spec("ssh=user@host -p 22//python=python3 -X a=b//popen//empty=");
  EXPECT_EQ(spec.keys(), (Words{"ssh", "python", "popen", "empty"}));
  EXPECT_EQ(spec.get("ssh"), "user@host -p 22");
  EXPECT_EQ(spec.get("python"), "python3 -X a=b");
  EXPECT_EQ(spec.get("popen"), "");
  EXPECT_EQ(spec.get("empty"), "");
  EXPECT_TRUE(spec.is_true("popen"));
  EXPECT_FALSE(spec.is_true("empty"));
}

TEST(XSpec, leaves_single_slashes_alone) {
  const XSpec spec("unix=/run/gw.sock//chdir=a/b/");
  EXPECT_EQ(spec.get("unix"), "/run/gw.sock");
  EXPECT_EQ(spec.get("chdir"), "a/b/");
}

TEST(XSpec, takes_the_first_two_of_three_slashes) {
  const XSpec spec("popen///abs=1");
  EXPECT_EQ(spec.keys(), (Words{"popen", "/abs"}));
}

TEST(XSpec, keeps_keys_it_does_not_know) {
  const XSpec spec("popen//colour=blue//flag");
  EXPECT_EQ(spec.get("colour"), "blue");
  EXPECT_TRUE(spec.is_true("flag"));
}

TEST(XSpec, has_nothing_for_a_key_that_was_not_given) {
  const XSpec spec("popen");
  EXPECT_FALSE(spec.has("nobody_ever_heard_of"));
  EXPECT_EQ(spec.get("nobody_ever_heard_of"), std::nullopt);
  EXPECT_FALSE(spec.is_true("nobody_ever_heard_of"));
}

TEST(XSpec, collects_the_environment_and_lets_the_last_win) {
  const XSpec spec("popen//env:A=1//env:B//env:A=2=3//env:E=");
  EXPECT_EQ(spec.env(), (XSpec::Environment{{"A", "2=3"}, {"B", std::nullopt}, {"E", ""}}));
  EXPECT_EQ(spec.keys(), Words{"popen"});
}

TEST(XSpec, refuses_what_breaks_the_grammar_and_points_at_it) {
  const struct {
    std::string text;
    SpecFault fault;
    std::size_t position;
    std::string shown;
  } cases[] = {
      {"", SpecFault::empty_part, 0, "the spec is empty\n    \n    ^"},
      {"popen//", SpecFault::empty_part, 7, "a part is empty\n    popen//\n           ^"},
      {"//popen", SpecFault::empty_part, 0, "a part is empty\n    //popen\n    ^"},
      {"popen////id=1", SpecFault::empty_part, 7, "a part is empty\n    popen////id=1\n           ^"},
      {"popen//=1", SpecFault::empty_part, 7, "a key is missing\n    popen//=1\n           ^"},
      {"popen//_x=1", SpecFault::private_key, 7, "keys that start with '_' are private\n    popen//_x=1\n           ^"},
      {"popen//id=1//id=2", SpecFault::duplicate_key, 13,
       "the key 'id' is given twice\n    popen//id=1//id=2\n                 ^"},
      {"popen//popen", SpecFault::duplicate_key, 7, "the key 'popen' is given twice\n    popen//popen\n           ^"},
      {"popen//env=1", SpecFault::duplicate_key, 7,
       "'env' is the environment: write env:NAME=value\n    popen//env=1\n           ^"},
      {"popen//env:=1", SpecFault::bad_value, 7, "env: needs a name (env:NAME=value)\n    popen//env:=1\n           ^"},
      {"popen//env:A=\0"s, SpecFault::bad_value, 7,
       "an environment variable cannot contain a NUL\n    popen//env:A=\\x00\n           ^"},
      {"日本=x//_", SpecFault::private_key, 10, "keys that start with '_' are private\n    日本=x//_\n          ^"},
      {"a=\x1b[2J\n//_", SpecFault::private_key, 9,
       "keys that start with '_' are private\n    a=\\x1b[2J\\n//_\n                 ^"},
  };
  for (const auto& [text, fault, position, shown] : cases) {
    const auto error = refusal([&, &text = text] { XSpec{text}; });
    EXPECT_EQ(error.fault(), fault) << text;
    EXPECT_EQ(error.position(), position) << text;
    EXPECT_EQ(error.what(), shown);
  }
}

TEST(XSpec, cuts_a_long_text_around_the_place) {
  const std::string filler(1000, 'x');
  const auto error = refusal([&] { XSpec("a=" + filler + "//_b=" + filler); });
  EXPECT_EQ(error.what(), "keys that start with '_' are private\n    ..." + std::string(58, 'x') +
                              "//_b=" + std::string(57, 'x') + "...\n    " + std::string(63, ' ') + "^");
}

// The value type.

TEST(XSpec, is_its_original_text) {
  XSpec spec("popen//id=1");
  spec.set("id", "2");
  EXPECT_EQ(spec.text(), "popen//id=1");
  EXPECT_EQ(spec.str(), "popen//id=1");
  EXPECT_EQ(spec, XSpec("popen//id=1"));
  EXPECT_NE(spec, XSpec("id=1//popen"));
  EXPECT_EQ(std::unordered_set<XSpec>({spec, XSpec("popen//id=1")}).size(), 1u);
}

TEST(XSpec, can_be_assigned_to) {
  XSpec spec("popen//id=1");
  spec.set("id", "a//b");
  spec.set("chdir", "/tmp");
  spec.set_true("flag");
  spec.set_env("A", "1");
  EXPECT_EQ(spec.id(), "a//b");
  EXPECT_EQ(spec.chdir(), "/tmp");
  EXPECT_TRUE(spec.is_true("flag"));
  EXPECT_EQ(spec.keys(), (Words{"popen", "id", "chdir", "flag"}));
  EXPECT_EQ(spec.env(), (XSpec::Environment{{"A", "1"}}));
  spec.unset_env("A");
  spec.unset_env("B");
  EXPECT_TRUE(spec.env().empty());
  spec.unset("id");
  EXPECT_FALSE(spec.has("id"));
  EXPECT_EQ(spec.id(), std::nullopt);
  spec.set("flag", "x");
  EXPECT_FALSE(spec.is_true("flag"));
}

TEST(XSpec, refuses_keys_that_could_not_be_written) {
  XSpec spec("popen");
  EXPECT_EQ(refusal([&] { spec.set("_x", "1"); }).fault(), SpecFault::private_key);
  EXPECT_EQ(refusal([&] { spec.set("", "1"); }).fault(), SpecFault::empty_part);
  EXPECT_EQ(refusal([&] { spec.set("env", "1"); }).fault(), SpecFault::duplicate_key);
  EXPECT_EQ(refusal([&] { spec.set_true("env:A"); }).fault(), SpecFault::duplicate_key);
  EXPECT_EQ(refusal([&] { spec.set_env("A=B", "1"); }).fault(), SpecFault::bad_value);
  EXPECT_EQ(refusal([&] { spec.set_env("A", "\0"s); }).fault(), SpecFault::bad_value);
  EXPECT_EQ(spec.keys(), Words{"popen"});
  EXPECT_TRUE(spec.env().empty());
}

TEST(XSpec, copies_are_independent) {
  const XSpec spec("popen//id=1");
  XSpec copy = spec;
  copy.set("id", "2");
  EXPECT_EQ(spec.id(), "1");
  EXPECT_EQ(copy.id(), "2");
}

// The typed accessors.

TEST(XSpec, gives_defaults_for_what_was_not_given) {
  const XSpec spec("popen");
  EXPECT_EQ(spec.id(), std::nullopt);
  EXPECT_EQ(spec.python(), std::nullopt);
  EXPECT_TRUE(spec.python_command().empty());
  EXPECT_EQ(spec.nice(), std::nullopt);
  EXPECT_FALSE(spec.dont_write_bytecode());
  EXPECT_FALSE(spec.isolated());
  EXPECT_FALSE(spec.no_site());
  EXPECT_EQ(spec.execmodel(), std::nullopt);
  EXPECT_EQ(spec.window(), limits::window);
  EXPECT_EQ(spec.max_item(), limits::item);
  EXPECT_EQ(spec.connect_timeout(), limits::bootstrap_time);
  EXPECT_EQ(spec.keepalive(), limits::ping_interval);
  EXPECT_EQ(spec.compress(), std::nullopt);
}

TEST(XSpec, reads_sizes) {
  const struct {
    const char* text;
    std::uint64_t size;
  } cases[] = {
      {"0", 0},
      {"1024", 1024},
      {"64K", 65'536},
      {"64k", 65'536},
      {"64KiB", 65'536},
      {"64kb", 64'000},
      {"4096B", 4096},
      {"16M", 16 << 20},
      {"2GiB", std::uint64_t{2} << 30},
      {"1TB", 1'000'000'000'000},
      {"9223372036854775807", 9'223'372'036'854'775'807},
  };
  for (const auto& [text, size] : cases) {
    EXPECT_EQ(XSpec("popen//window="s + text).window(), size) << text;
    if (size == 0) continue;
    EXPECT_EQ(XSpec("popen//max_item="s + text).max_item(), size) << text;
  }
  EXPECT_EQ(XSpec("max_item=1").max_item(), 1u);
}

TEST(XSpec, reads_times) {
  const struct {
    const char* text;
    std::chrono::milliseconds time;
  } cases[] = {
      {"30", 30s},    {"0.5", 500ms}, {"500ms", 500ms}, {"2m", 2min},
      {"2min", 2min}, {"1h", 1h},     {"1.5s", 1500ms}, {"0.00001", 1ms},
  };
  for (const auto& [text, time] : cases) {
    EXPECT_EQ(XSpec("popen//connect_timeout="s + text).connect_timeout(), time) << text;
    EXPECT_EQ(XSpec("popen//keepalive="s + text).keepalive(), time) << text;
  }
  EXPECT_EQ(XSpec("popen//keepalive=0").keepalive(), 0ms);
  EXPECT_EQ(XSpec("popen//keepalive=off").keepalive(), 0ms);
}

TEST(XSpec, reads_the_other_values) {
  EXPECT_EQ(XSpec("nice=10").nice(), 10);
  EXPECT_EQ(XSpec("nice=-5").nice(), -5);
  EXPECT_EQ(XSpec("nice=+5").nice(), 5);
  EXPECT_TRUE(XSpec("dont_write_bytecode").dont_write_bytecode());
  EXPECT_TRUE(XSpec("dont_write_bytecode=Yes").dont_write_bytecode());
  EXPECT_FALSE(XSpec("dont_write_bytecode=0").dont_write_bytecode());
  EXPECT_TRUE(XSpec("isolated").isolated());
  EXPECT_TRUE(XSpec("no_site=on").no_site());
  EXPECT_EQ(XSpec("compress").compress(), 6);
  EXPECT_EQ(XSpec("compress=on").compress(), 6);
  EXPECT_EQ(XSpec("compress=off").compress(), 0);
  EXPECT_EQ(XSpec("compress=9").compress(), 9);
  EXPECT_EQ(XSpec("popen").stdout_mode(), OutputMode::null);
  EXPECT_EQ(XSpec("popen").stderr_mode(), OutputMode::inherit);
  EXPECT_EQ(XSpec("stdout=null").stdout_mode(), OutputMode::null);
  EXPECT_EQ(XSpec("stdout=forward").stdout_mode(), OutputMode::forward);
  EXPECT_EQ(XSpec("stdout=callback").stdout_mode(), OutputMode::callback);
  EXPECT_EQ(XSpec("stderr=inherit").stderr_mode(), OutputMode::inherit);
  EXPECT_EQ(XSpec("stderr=forward").stderr_mode(), OutputMode::forward);
  EXPECT_EQ(XSpec("stderr=callback").stderr_mode(), OutputMode::callback);
  EXPECT_EQ(XSpec("python=\"/a b/python\" -u").python_command(), (Words{"/a b/python", "-u"}));
  for (const auto model : {ExecModel::thread, ExecModel::main_thread_only, ExecModel::gevent, ExecModel::eventlet}) {
    EXPECT_EQ(XSpec("execmodel=" + std::string(to_string(model))).execmodel(), model);
  }
}

TEST(XSpec, refuses_values_and_points_at_them) {
  const auto window = [](const XSpec& s) { (void)s.window(); };
  const auto max_item = [](const XSpec& s) { (void)s.max_item(); };
  const auto timeout = [](const XSpec& s) { (void)s.connect_timeout(); };
  const auto keepalive = [](const XSpec& s) { (void)s.keepalive(); };
  const auto nice = [](const XSpec& s) { (void)s.nice(); };
  const auto bytecode = [](const XSpec& s) { (void)s.dont_write_bytecode(); };
  const auto execmodel = [](const XSpec& s) { (void)s.execmodel(); };
  const auto compress = [](const XSpec& s) { (void)s.compress(); };
  const auto out = [](const XSpec& s) { (void)s.stdout_mode(); };
  const auto err = [](const XSpec& s) { (void)s.stderr_mode(); };
  const auto id = [](const XSpec& s) { (void)s.id(); };
  const auto python = [](const XSpec& s) { (void)s.python(); };
  const auto chdir = [](const XSpec& s) { (void)s.chdir(); };
  const auto command = [](const XSpec& s) { (void)s.python_command(); };
  const struct {
    std::string text;
    std::function<void(const XSpec&)> read;
    std::size_t position;
    const char* word;  // somewhere in the text
  } cases[] = {
      {"stdout=inherit", out, 7, "null, forward or callback"},
      {"stdout", out, 0, "needs a value"},
      {"popen//stderr=Forward", err, 14, "inherit, forward or callback"},
      {"stderr=", err, 7, "empty"},
      {"window=1023", window, 7, "at least 1024"},
      {"window=", window, 7, "empty"},
      {"window", window, 0, "needs a value"},
      {"window=many", window, 7, "'many'"},
      {"window=-1", window, 7, "'-1'"},
      {"window=+1", window, 7, "'+1'"},
      {"window= 4096", window, 7, "' 4096'"},
      {"window=64 K", window, 7, "'64 K'"},
      {"window=64X", window, 7, "'64X'"},
      {"window=64KiBs", window, 7, "'64KiBs'"},
      {"window=0x1000", window, 7, "'0x1000'"},
      {"window=1.5M", window, 7, "'1.5M'"},
      {"window=9223372036854775808", window, 7, "64 bits"},
      {"window=99999999999999999999999", window, 7, "64 bits"},
      {"window=99999999999T", window, 7, "64 bits"},
      {"max_item=0", max_item, 9, "at least 1"},
      {"max_item=2Gig", max_item, 9, "'2Gig'"},
      {"connect_timeout=0", timeout, 16, "more than 0"},
      {"connect_timeout=-1", timeout, 16, "'-1'"},
      {"connect_timeout=soon", timeout, 16, "'soon'"},
      {"connect_timeout=inf", timeout, 16, "'inf'"},
      {"connect_timeout=nan", timeout, 16, "'nan'"},
      {"connect_timeout=1d", timeout, 16, "'1d'"},
      {"connect_timeout=9999999h", timeout, 16, "more than a year"},
      {"keepalive=-0", keepalive, 10, "'-0'"},
      {"keepalive=on", keepalive, 10, "'on'"},
      {"popen//nice=ten", nice, 12, "'ten'"},
      {"nice=+-1", nice, 5, "'+-1'"},
      {"nice=3.0", nice, 5, "'3.0'"},
      {"nice=99999999999", nice, 5, "'99999999999'"},
      {"nice", nice, 0, "needs a value"},
      {"dont_write_bytecode=maybe", bytecode, 20, "'maybe'"},
      {"execmodel=tread", execmodel, 10, "one of thread, main_thread_only, gevent, eventlet"},
      {"compress=10", compress, 9, "'10'"},
      {"compress=best", compress, 9, "'best'"},
      {"popen//id=", id, 10, "empty"},
      {"popen//id", id, 7, "needs a value"},
      {"id=a\nb", id, 4, "a newline"},
      {"chdir=a\xff", chdir, 7, "not UTF-8"},
      {"id=\xed\xa0\x80", id, 3, "not UTF-8"},
      {"python=a\0b"s, python, 8, "a NUL"},
      {"python", python, 0, "needs a value"},
      {"chdir=\n", chdir, 6, "a newline"},
      {"python=sh -c 'x", command, 13, "not closed"},
      {"python=sh -c \"x", command, 13, "not closed"},
      {"python=sh \\", command, 10, "backslash"},
      {"python=  ", command, 7, "empty"},
  };
  for (const auto& [text, read, position, word] : cases) {
    const XSpec spec(text);
    const auto error = refusal([&, &read = read] { read(spec); });
    EXPECT_EQ(error.position(), position) << text;
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(XSpec, shows_the_caret_under_a_bad_value) {
  const auto error = refusal([] { (void)XSpec("popen//execmodel=tread//id=1").execmodel(); });
  EXPECT_STREQ(error.what(),
               "unknown execution model 'tread' (one of thread, main_thread_only, gevent, eventlet)\n"
               "    popen//execmodel=tread//id=1\n"
               "                     ^");
}

TEST(XSpec, says_that_a_bad_value_was_assigned) {
  XSpec spec("popen//nice=1");
  spec.set("nice", "ten");
  const auto error = refusal([&] { (void)spec.nice(); });
  EXPECT_EQ(error.position(), std::nullopt);
  EXPECT_STREQ(error.what(), "nice= needs an integer, not 'ten' (an assigned value)\n    nice=ten\n         ^");
}

TEST(XSpec, escapes_a_key_where_it_is_named) {
  const XSpec spec("\0\x1b[2J"s);
  const auto error = refusal([&] { (void)spec.argument(spec.keys().front()); });
  EXPECT_STREQ(error.what(), "\\x00\\x1b[2J= needs a value\n    \\x00\\x1b[2J\n    ^");
}

TEST(XSpec, lets_layers_above_refuse_a_value) {
  const XSpec spec("socket=host:70000");
  const auto error = refusal([&] { spec.reject("socket", "port 70000 is out of range"); });
  EXPECT_STREQ(error.what(), "port 70000 is out of range\n    socket=host:70000\n           ^");
  EXPECT_STREQ(refusal([&] { spec.reject("secret", "a secret is needed"); }).what(),
               "a secret is needed\n    socket=host:70000");
}

// The transport.

TEST(XSpec, knows_every_transport) {
  const struct {
    const char* text;
    TransportKind kind;
  } cases[] = {
      {"popen", TransportKind::popen},
      {"popen//python=python3", TransportKind::popen},
      {"id=1//popen//via=gw0", TransportKind::popen},
      {"ssh=host", TransportKind::ssh},
      {"ssh=host//via=gw0", TransportKind::ssh},
      {"vagrant_ssh=box", TransportKind::vagrant_ssh},
      {"socket=localhost:8888", TransportKind::socket},
      {"socket//installvia=gw0", TransportKind::socket},
      {"installvia=gw0", TransportKind::socket},
      {"unix=/run/gw", TransportKind::unix_socket},
      {"command=docker exec -i x python3", TransportKind::command},
      {"docker=box", TransportKind::docker},
      {"podman=box", TransportKind::podman},
      {"kubectl=pod", TransportKind::kubectl},
      {"sudo=user", TransportKind::sudo},
      {"sudo", TransportKind::sudo},
      {"su=user", TransportKind::su},
      {"doas=user", TransportKind::doas},
      {"doas", TransportKind::doas},
      {"nsenter=4711", TransportKind::nsenter},
      {"unshare=-n", TransportKind::unshare},
      {"slurm=-n 1", TransportKind::slurm},
      {"slurm", TransportKind::slurm},
  };
  for (const auto& [text, kind] : cases) {
    EXPECT_EQ(XSpec(text).kind(), kind) << text;
    EXPECT_TRUE(XSpec(text).has(to_string(kind)) || XSpec(text).has("installvia")) << text;
  }
}

TEST(XSpec, refuses_none_and_more_than_one_transport) {
  const struct {
    const char* text;
    std::optional<std::size_t> position;
    SpecFault fault;
  } cases[] = {
      {"id=1", std::nullopt, SpecFault::bad_transport},
      {"via=gw0", std::nullopt, SpecFault::bad_transport},
      {"pop", std::nullopt, SpecFault::bad_transport},
      {"popen//ssh=host", 7, SpecFault::bad_transport},
      {"ssh=host//id=1//popen", 16, SpecFault::bad_transport},
      {"popen//installvia=gw0", 18, SpecFault::bad_transport},
      {"socket=a:1//via=gw0", 16, SpecFault::bad_transport},
      {"installvia=gw1//via=gw0", 20, SpecFault::bad_transport},
      {"popen//ssh", 7, SpecFault::bad_transport},
      {"ssh", 0, SpecFault::bad_value},
      {"ssh=", 4, SpecFault::bad_value},
      {"socket", 0, SpecFault::bad_value},
      {"ssh=host\n-oProxyCommand=x", 8, SpecFault::bad_value},
      {"slurm=", 6, SpecFault::bad_value},
  };
  for (const auto& [text, position, fault] : cases) {
    const auto error = refusal([&, &text = text] { (void)XSpec(text).kind(); });
    EXPECT_EQ(error.position(), position) << text;
    EXPECT_EQ(error.fault(), fault) << text;
  }
}

TEST(XSpec, sees_an_assigned_transport) {
  XSpec spec("id=1");
  spec.set_true("popen");
  EXPECT_EQ(spec.kind(), TransportKind::popen);
  spec.unset("popen");
  spec.set("ssh", "host");
  EXPECT_EQ(spec.kind(), TransportKind::ssh);
}

// Commands.

TEST(SplitCommand, follows_the_shell) {
  const struct {
    std::string text;
    Words words;
  } cases[] = {
      {"python3", {"python3"}},
      {"  sudo  -u x\tpython3 ", {"sudo", "-u", "x", "python3"}},
      {"'a b' \"c d\"", {"a b", "c d"}},
      {"a'b c'd\"e f\"", {"ab cde f"}},
      {"a\\ b \\'c\\\\", {"a b", "'c\\"}},
      {"'' \"\" x", {"", "", "x"}},
      {"'a\\b'", {"a\\b"}},
      {"\"a\\\"b\\\\c\\d\"", {"a\"b\\c\\d"}},
      {"\"it's\" 'say \"x\"'", {"it's", "say \"x\""}},
      {"$HOME *.py #x ; |", {"$HOME", "*.py", "#x", ";", "|"}},
      {"pythön", {"pythön"}},
  };
  for (const auto& [text, words] : cases) EXPECT_EQ(split_command(text), words) << text;
}

TEST(SplitCommand, points_at_what_is_not_finished) {
  const struct {
    std::string text;
    std::size_t position;
  } cases[] = {
      {"a 'b c", 2}, {"a \"b c", 2}, {"a b\\", 3}, {"\"a\\", 0}, {"\"a\\\"", 0},
      {"", 0},       {" \t", 0},     {"a\nb", 1},  {"a\0b"s, 1},
  };
  for (const auto& [text, position] : cases) {
    const auto error = refusal([&, &text = text] { (void)split_command(text); });
    EXPECT_EQ(error.fault(), SpecFault::bad_command) << text;
    EXPECT_EQ(error.position(), position) << text;
  }
  EXPECT_STREQ(refusal([] { (void)split_command("python3 -c 'x"); }).what(),
               "a quote is not closed\n    python3 -c 'x\n               ^");
}

}  // namespace
}  // namespace gangway
