// A forked copy of the controller: its gateways and groups are the parent's, and so are their
// agents. Row I7 of the fault catalogue.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/support/agents.hpp"

namespace gangway::test {
namespace {

using namespace std::chrono_literals;

bool is_refused(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == errc::terminated;
  }
  return false;
}

template <class T>
std::string text_of(const T& what) {
  return (std::ostringstream() << what).str();
}

// The number of the first call, from 1, that went wrong in the child; 0: none.
int first_wrong(Group& group, Gateway& gateway) {
  const std::vector<std::function<void()>> refused{
      [&] { (void)gateway.info(); },
      [&] { (void)gateway.remote_exec("channel.send(1)"); },
      [&] { (void)gateway.newchannel(); },
      [&] { gateway.reconfigure(); },
      [&] { gateway.set_output({}); },
      [&] { (void)gateway.remote_status(); },
      [&] { (void)gateway.stacks(); },
      [&] { (void)gateway.ping(); },
      [&] { (void)gateway.unresponsive(); },
      [&] { (void)gateway.join(); },
      [&] { (void)gateway.death(); },
      [&] { (void)group.defaultspec(); },
      [&] { group.set_defaultspec("popen"); },
      [&] { (void)group.execmodel(); },
      [&] { (void)group.remote_execmodel(); },
      [&] { group.set_execmodel("thread"); },
      [&] { (void)group.makegateway(); },
      [&] {
        (void)group.makegateways({"popen", "popen"});
      },
      [&] { (void)group.size(); },
      [&] { (void)group.gateways(); },
      [&] { (void)group.contains("gw0"); },
      [&] { (void)group.contains(gateway); },
      [&] { (void)group.at("gw0"); },
      [&] { (void)group.at(0); },
      [&] {
        XSpec spec("popen");
        group.allocate_id(spec);
      },
  };
  int number = 0;
  for (const auto& call : refused) {
    ++number;
    if (!is_refused(call)) return number;
  }
  gateway.exit();
  gateway.kill();
  const TerminateReport report = group.terminate();
  const bool harmless = !gateway.hasreceiver() && gateway.id() == "gw0" && gateway.spec().id() == "gw0" &&
                        report.killed.empty() && report.survivors.empty() &&
                        text_of(gateway) == "<Gateway id='gw0' not-receiving, thread model, 0 active channels>" &&
                        text_of(group) == "<Group of the parent process>";
  return harmless ? 0 : number + 1;
}

class Fork : public GroupTest {};

TEST_F(Fork, a_child_that_destroys_its_copies_takes_nothing_from_the_parent) {
  auto copied = std::make_unique<Group>();
  Gateway gateway = copied->makegateway(main_agents().front().spec);
  Channel channel = gateway.remote_exec("import os; channel.send(os.getpid()); channel.receive()");
  const auto worker = take<pid_t>(channel);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(20);
    channel = Channel();
    gateway = Gateway();
    copied.reset();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(ask<int>(gateway, "channel.send(1)"), 1);
  EXPECT_EQ(::kill(worker, SIGKILL), 0);
  EXPECT_EQ(lost(channel).death().signal, SIGKILL) << "its end was seen";
}

TEST_F(Fork, a_copy_of_the_controller_can_do_nothing_with_its_gateways_and_groups) {
  Gateway gateway = group().makegateway(main_agents().front().spec + "//id=gw0//stdout=callback");
  Channel channel = gateway.remote_exec("channel.send(channel.receive() + 1)");
  // Mutexes that are held when we fork, sooner or later.
  std::atomic<bool> enough{false};
  std::thread busy([&] {
    while (!enough) {
      (void)group().size();
      (void)group().defaultspec();
      (void)gateway.death();
      (void)gateway.unresponsive();
    }
  });
  for (int copies = 0; copies < 20; ++copies) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(20);  // a call that hangs
      int wrong = 200;
      try {
        wrong = first_wrong(group(), gateway);
      } catch (...) {
      }
      ::_exit(wrong);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  enough = true;
  busy.join();
  channel.send(1);
  EXPECT_EQ(channel.receive<int>(20s), 2);
  EXPECT_EQ(group().size(), 1U);
}

}  // namespace
}  // namespace gangway::test
