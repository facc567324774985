// remote_exec: what source may be, where it runs, and how a task may end.
#include <gmock/gmock.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"

namespace gangway::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Exec : public AgentTest {};
INSTANTIATE_TEST_SUITE_P(, Exec, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Exec, source_is_utf8_whatever_it_says_and_has_no_null_bytes) {
  const Gateway gateway = start();
  EXPECT_EQ(ask<std::string>(gateway, "# -*- coding: latin-1 -*-\nchannel.send('\u00e9')"), "\u00e9");
  EXPECT_THAT(remote_error(Gateway(gateway).remote_exec(std::string_view("channel.send(1)\0", 16))),
              ::testing::HasSubstr("null bytes"));
}

TEST_P(Exec, source_is_dedented_and_run) {
  EXPECT_EQ(ask<int>(start(), R"(
        def double(x):
            return 2 * x

        channel.send(double(21))
      )"),
            42);
}

TEST_P(Exec, empty_source_ends_well) {
  start().remote_exec("").waitclose(patience);
  start().remote_exec("\n\n   \n").waitclose(patience);
}

TEST_P(Exec, namespace_is_fresh_and_has_a_name) {
  Gateway gateway = start();
  EXPECT_EQ(ask(gateway, "x = 1; channel.send((__name__, sorted(n for n in globals() if n[:2] != '__')))"),
            (Tuple{"__channelexec__", List{"channel", "x"}}));
  EXPECT_EQ(ask(gateway, "channel.send('x' in globals())"), false);
}

TEST_P(Exec, imported_modules_stay) {
  Gateway gateway = start();
  gateway.remote_exec("import colorsys; colorsys.mark = 7").waitclose(patience);
  EXPECT_EQ(ask<int>(gateway, "import colorsys; channel.send(colorsys.mark)"), 7);
}

TEST_P(Exec, process_looks_like_python_dash_c) {
  EXPECT_EQ(ask(start(), "import sys; channel.send((sys.argv, list(sys.exc_info())))"),
            (Tuple{List{"-c"}, List{nullptr, nullptr, nullptr}}));
}

TEST_P(Exec, a_file_runs_under_its_own_name) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("program.py", "channel.send(1)\n\nraise KeyError('no such thing')\n");
  Channel channel = start().remote_exec(Source::from_file(path));
  EXPECT_EQ(take<int>(channel), 1);
  const std::string text = remote_error(channel);
  EXPECT_THAT(text, HasSubstr("File \"" + path + "\", line 3"));
  EXPECT_THAT(text, HasSubstr("raise KeyError('no such thing')"));
  EXPECT_THROW((void)Source::from_file(directory / "absent.py"), Error);
}

TEST_P(Exec, a_function_is_called_with_keyword_arguments) {
  const auto source = Source::of_function(R"(
    import math

    def helper(x):
        return math.sqrt(x)

    def work(channel, numbers, options=None):
        channel.send([helper(n) for n in numbers])
        channel.send(options)
  )",
                                          "work");
  Gateway gateway = start();
  Channel channel =
      gateway.remote_exec(source, {{"numbers", List{4, 9}}, {"options", Dict{{"depth", Tuple{1, nullptr}}}}});
  EXPECT_EQ(take(channel), (List{2.0, 3.0}));
  EXPECT_EQ(take(channel), (Dict{{"depth", Tuple{1, nullptr}}}));
  channel.waitclose(patience);

  EXPECT_THAT(remote_error(gateway.remote_exec(source)), HasSubstr("TypeError"));
}

TEST_P(Exec, keyword_arguments_may_be_channels_and_large) {
  Gateway gateway = start();
  Channel answers = gateway.newchannel();
  Channel channel =
      gateway.remote_exec(Source::of_function("def work(channel, to, data):\n    to.send(len(data))\n", "work"),
                          {{"to", value_from(answers)}, {"data", zeros(3'000'000)}});
  EXPECT_EQ(take<int>(answers), 3'000'000);
  channel.waitclose(patience);
}

TEST_P(Exec, keyword_arguments_are_for_functions_only_and_must_be_items) {
  Gateway gateway = start();
  EXPECT_THROW(gateway.remote_exec(Source{"pass", {}, {}}, {{"x", 1}}), DumpError);
  Gateway other = start();
  const Channel foreign = other.newchannel();
  EXPECT_THROW(gateway.remote_exec(Source::of_function("def f(channel, x): pass", "f"), {{"x", value_from(foreign)}}),
               Error);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
}

TEST_P(Exec, traceback_names_file_line_source_and_error) {
  const std::string text = remote_error(start().remote_exec(R"(
        def inner():
            raise ValueError("text of the error")

        inner()
      )"));
  EXPECT_THAT(text, StartsWith("Traceback (most recent call last):\n"));
  EXPECT_THAT(text, HasSubstr("File \"<remote exec>\", line 5, in <module>"));
  EXPECT_THAT(text, HasSubstr("File \"<remote exec>\", line 3, in inner"));
  EXPECT_THAT(text, HasSubstr("raise ValueError(\"text of the error\")"));
  EXPECT_THAT(text, EndsWith("ValueError: text of the error"));
}

TEST_P(Exec, traceback_shows_causes_and_no_frames_of_the_agent) {
  const std::string text = remote_error(start().remote_exec(R"(
        try:
            {}["key"]
        except KeyError as error:
            raise RuntimeError("wrapped") from error
      )"));
  EXPECT_THAT(text, HasSubstr("KeyError: 'key'"));
  EXPECT_THAT(text, HasSubstr("direct cause"));
  EXPECT_THAT(text, EndsWith("RuntimeError: wrapped"));
  EXPECT_THAT(text, Not(HasSubstr("gangway")));
}

TEST_P(Exec, syntax_error_arrives_as_error) {
  Gateway gateway = start();
  const std::string text = remote_error(gateway.remote_exec("x = 1\ny = = 2\n"));
  EXPECT_THAT(text, StartsWith("Traceback (most recent call last):"));
  EXPECT_THAT(text, HasSubstr("File \"<remote exec>\", line 2"));
  EXPECT_THAT(text, HasSubstr("SyntaxError"));
  EXPECT_THAT(remote_error(gateway.remote_exec(std::string("x = '\0'", 7))), HasSubstr("Error"));
}

// B11: none of these may end more than the task.
TEST_P(Exec, B11_a_task_may_end_with_any_exception_and_the_agent_lives) {
  Gateway gateway = start();
  EXPECT_THAT(remote_error(gateway.remote_exec("raise SystemExit(3)")), EndsWith("SystemExit: 3"));
  EXPECT_THAT(remote_error(gateway.remote_exec("import sys; sys.exit()")), EndsWith("SystemExit"));
  EXPECT_EQ(remote_error(gateway.remote_exec("raise KeyboardInterrupt")), "keyboard-interrupted");
  EXPECT_THAT(remote_error(gateway.remote_exec("raise GeneratorExit('x')")), EndsWith("GeneratorExit: x"));
  EXPECT_THAT(remote_error(gateway.remote_exec("raise MemoryError")), EndsWith("MemoryError"));
  EXPECT_THAT(remote_error(gateway.remote_exec("x = [0] * (1 << 60)")), HasSubstr("MemoryError"));
  EXPECT_THAT(remote_error(gateway.remote_exec("class Mine(BaseException): pass\nraise Mine('y')")),
              HasSubstr("Mine: y"));
  EXPECT_THAT(remote_error(gateway.remote_exec("def f(): f()\nf()")), HasSubstr("RecursionError"));
  EXPECT_EQ(gateway.remote_status(patience).numexecuting, 0);
  EXPECT_EQ(ask<std::string>(gateway, "channel.send('alive')"), "alive");
}

TEST_P(Exec, end_of_file_is_a_normal_end) { start().remote_exec("raise EOFError('enough')").waitclose(patience); }

TEST_P(Exec, errors_after_a_local_close_are_dropped) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("channel.send(1)\ntry: channel.receive()\nexcept EOFError: pass\n1/0");
  EXPECT_EQ(take<int>(channel), 1);
  channel.close();
  channel.waitclose(patience);
  EXPECT_EQ(ask<int>(gateway, "channel.send(2)"), 2);
}

TEST_P(Exec, tasks_run_at_the_same_time) {
  Gateway gateway = start();
  std::vector<Channel> channels;
  for (int i = 0; i < 8; ++i) channels.push_back(gateway.remote_exec("channel.send(channel.receive() + 1)"));
  EXPECT_TRUE(eventually([&] { return gateway.remote_status(patience).numexecuting == 8; }));
  for (int i = 8; i-- > 0;) channels[static_cast<std::size_t>(i)].send(i);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(take<int>(channels[static_cast<std::size_t>(i)]), i + 1);
}

TEST_P(Exec, first_task_has_the_main_thread_and_further_ones_their_own) {
  constexpr auto where = R"(
        import threading
        channel.send((threading.current_thread() is threading.main_thread(), threading.get_ident()))
        channel.receive()
      )";
  Gateway gateway = start();
  Channel first = gateway.remote_exec(where);
  const auto [first_is_main, first_ident] = take<std::pair<bool, std::uint64_t>>(first);
  EXPECT_TRUE(first_is_main);
  Channel second = gateway.remote_exec(where);
  const auto [second_is_main, second_ident] = take<std::pair<bool, std::uint64_t>>(second);
  EXPECT_FALSE(second_is_main);
  EXPECT_NE(first_ident, second_ident);

  first.send(nullptr);
  first.waitclose(patience);
  Channel third = gateway.remote_exec(where);
  EXPECT_EQ(take(third), (Tuple{true, first_ident})) << "an idle main thread takes the next task";
}

TEST_P(Exec, threading_knows_the_main_thread_even_if_another_one_imported_it) {
  Gateway gateway = start();
  Channel busy = gateway.remote_exec(
      "channel.receive()\nimport threading\n"
      "channel.send(threading.current_thread() is threading.main_thread())");
  EXPECT_EQ(ask(gateway, "import threading; channel.send(threading.current_thread() is threading.main_thread())"),
            false);
  busy.send(nullptr);
  EXPECT_EQ(take(busy), true);
}

TEST_P(Exec, main_thread_only_runs_one_after_the_other_in_the_main_thread) {
  Gateway gateway = start("execmodel=main_thread_only");
  EXPECT_EQ(gateway.remote_status(patience).execmodel, "main_thread_only");
  std::vector<Channel> channels;
  for (int i = 0; i < 5; ++i)
    channels.push_back(
        gateway.remote_exec("import threading\n"
                            "channel.send(threading.current_thread() is threading.main_thread())"));
  for (Channel& channel : channels) EXPECT_EQ(take(channel), true);
}

TEST_P(Exec, main_thread_only_refuses_what_would_deadlock_after_a_second) {
  Gateway gateway = start("execmodel=main_thread_only");
  Channel busy = gateway.remote_exec("channel.receive()");
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = remote_error(gateway.remote_exec("channel.send(1)"));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 900ms);
  EXPECT_THAT(text, HasSubstr("concurrent remote_exec"));
  EXPECT_THAT(text, HasSubstr("deadlock"));
  busy.send(nullptr);
  busy.waitclose(patience);
  EXPECT_EQ(ask<int>(gateway, "channel.send(2)"), 2);
}

TEST_P(Exec, main_thread_only_waits_for_a_task_that_ends_soon) {
  Gateway gateway = start("execmodel=main_thread_only");
  Channel busy = gateway.remote_exec("channel.receive()");
  Channel next = gateway.remote_exec("channel.send(1)");
  EXPECT_THROW((void)next.receive(100ms), TimeoutError);
  busy.send(nullptr);
  EXPECT_EQ(take<int>(next), 1);
}

TEST_P(Exec, main_thread_only_is_free_again_after_an_exception) {
  Gateway gateway = start("execmodel=main_thread_only");
  EXPECT_THAT(remote_error(gateway.remote_exec("1/0")), HasSubstr("ZeroDivisionError"));
  EXPECT_THAT(remote_error(gateway.remote_exec("raise SystemExit")), HasSubstr("SystemExit"));
  EXPECT_EQ(ask<int>(gateway, "channel.send(3)"), 3);
}

TEST_P(Exec, inspect_finds_the_source) {
  EXPECT_EQ(ask<std::string>(start(), R"(
        import inspect

        def shown(x):
            return x  # as it is

        channel.send(inspect.getsource(shown))
      )"),
            "def shown(x):\n    return x  # as it is\n");
}

TEST_P(Exec, a_task_cannot_start_tasks_here) {
  EXPECT_EQ(ask(start(), "channel.send([hasattr(channel.gateway, name) for name in ('remote_exec', 'exit')])"),
            (List{false, false}));
}

TEST_P(Exec, far_side_knows_its_gateway) {
  EXPECT_EQ(ask(start("id=here"), "channel.send((channel.gateway.id, channel.gateway.execmodel.backend))"),
            (Tuple{"here-worker", "thread"}));
}

TEST_P(Exec, execmodel_offers_primitives) {
  EXPECT_EQ(ask(start(), R"(
        model = channel.gateway.execmodel
        done = model.Event()
        items = model.queue.Queue()

        def work():
            with model.RLock():
                items.put(model.get_ident())
            done.set()

        model.start(work)
        channel.send((done.wait(10), items.get(timeout=10) != model.get_ident(), repr(model)))
      )"),
            (Tuple{true, true, "<ExecModel 'thread'>"}));
}

}  // namespace
}  // namespace gangway::test
