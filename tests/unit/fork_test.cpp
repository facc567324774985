// A forked child has copies of channels and none of the threads, and a thread that is not there
// may hold their mutex: no call hangs, and none reaches the wire. Row I7 of the fault catalogue.
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <sstream>

#include <boost/asio/use_future.hpp>
#include <gangway/channel_file.hpp>
#include <gangway/multi_channel.hpp>

#include "core/fork_guard.hpp"
#include "tests/support/connected.hpp"

namespace gangway::testing {
namespace {

/// What a child does; its exit status is the number of the first call that went wrong, counted
/// from 1, and 0 when all went well.
class Child {
 public:
  template <class Call>
  void is_refused(Call call) {
    check(failure_of(call).code == errc::terminated);
  }
  template <class Call>
  void is_harmless(Call call) {
    check(call());
  }
  [[noreturn]] void end() const { ::_exit(first_wrong_); }

 private:
  void check(bool well) {
    ++calls_;
    if (!well && first_wrong_ == 0) first_wrong_ = calls_;
  }
  int calls_ = 0;
  int first_wrong_ = 0;
};

int run_forked(const std::function<void(Child&)>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(20);  // a call that hangs
    Child child;
    try {
      work(child);
    } catch (...) {
      ::_exit(200);
    }
    child.end();
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

class Fork : public ConnectedTest {};

TEST_F(Fork, a_child_can_do_nothing_with_its_parents_channels) {
  connect();
  auto [here, there] = channel();
  auto [second, second_there] = channel();
  auto queue = MultiChannel({there, second_there}).make_receive_queue();
  auto [third, third_there] = channel();
  auto [fourth, fourth_there] = channel();
  auto empty_queue = MultiChannel({fourth_there}).make_receive_queue();
  third.send(1);
  here.send(2);
  controller->ping(in(10s));
  // The agent's mutex is held while we fork.
  std::promise<void> held, go_on;
  std::uint64_t asked = 0;
  agent.owner->stacks = [&](std::uint64_t number) {
    asked = number;
    held.set_value();
    go_on.get_future().wait();
  };
  auto asking = std::async(std::launch::async, [&] { return failure_of([&] { (void)controller->stacks(in(20s)); }); });
  runtime->keep_going();
  held.get_future().wait();
  const int status = run_forked([&, &channel = third_there](Child& child) {
    child.is_refused([&] { channel.send(1); });
    child.is_refused([&] { channel.send(1, 1s); });
    child.is_refused([&] { channel.send_bytes(pattern(1'000'000).span()); });
    child.is_refused([&] { (void)channel.try_send(1); });
    child.is_refused([&] { (void)channel.receive(); });
    child.is_refused([&] { (void)channel.receive(1s); });
    child.is_refused([&] { channel.waitclose(); });
    child.is_refused([&] { channel.close(); });
    child.is_refused([&] { channel.close("an error"); });
    child.is_refused([&] { (void)channel.interrupt(); });
    child.is_refused([&] { channel.reconfigure(); });
    child.is_refused([&] { channel.setcallback([](const Value&) {}); });
    child.is_refused([&] { channel.setcallback([](const Value&) {}, 0); });
    child.is_refused([&] { (void)channel.error_text(); });
    child.is_refused([&] { (void)channel.makefile("r").read(1); });
    child.is_refused([&] { channel.makefile("w").write("x"); });
    child.is_refused([&] { channel.makefile("w", true).close(); });
    child.is_refused([&] { (void)channel.async_receive(boost::asio::use_future); });
    child.is_refused([&] { (void)channel.async_send(1, boost::asio::use_future); });
    child.is_refused([&] { (void)channel.async_waitclose(boost::asio::use_future); });
    child.is_refused([&] { (void)queue.get(1s); });
    child.is_refused([&] { (void)empty_queue.get(); });
    child.is_refused([&] { (void)empty_queue.size(); });
    child.is_refused([&] { (void)MultiChannel({channel}).make_receive_queue(); });
    child.is_harmless([&] { return channel.isclosed() && channel.id() != 0; });
    child.is_harmless([&] { return (std::ostringstream() << channel).str().ends_with("closed>"); });
    child.is_harmless([&] {
      channel = {};
      return true;
    });
    // The connection itself.
    child.is_refused([&] { (void)agent->open_channel(); });
    child.is_refused([&] { agent->ping({}); });
    child.is_refused([&] { (void)agent->wait_ready({}); });
    child.is_refused([&] { (void)agent->callbacks(); });
    child.is_harmless([&] {
      agent->send_ping();
      agent->send_terminate();
      agent->finish({errc::terminated, "by a child", {}});
      return agent->finished() && !agent->ready() && agent->noise().empty() && agent->live_channels() == 0 &&
             agent->queued(10).empty() && agent->drained();
    });
  });
  go_on.set_value();
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // Nothing of that has reached the wire, or this process.
  agent->reply_stacks(asked, "");
  EXPECT_EQ(asking.get().text, "");
  controller->ping(in(10s));
  EXPECT_EQ(third_there.receive<int>(10s), 1);
  third_there.send(3);
  EXPECT_EQ(third.receive<int>(10s), 3);
  EXPECT_EQ(queue.get(10s).second, Value(2));
  EXPECT_EQ(agent.owner->stream_ends + controller.owner->stream_ends + controller.owner->terminates, 0);
}

TEST(ForkGuard, what_is_abandoned_is_not_destroyed) {
  struct CountDestroyed {
    void operator()(int* count) const noexcept { ++*count; }
  };
  int destroyed = 0;
  {
    std::unique_ptr<int, CountDestroyed> owner(&destroyed);
    detail::abandon(owner);
    EXPECT_EQ(owner, nullptr);
  }
  EXPECT_EQ(destroyed, 0);
}

}  // namespace
}  // namespace gangway::testing
