// Rows I1, I2, I4, I5 and I7 of the fault catalogue (README.md here): what programs may do with handles and threads.
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <future>
#include <random>
#include <thread>

#include <sys/wait.h>

#include "tests/faults/fault_test.hpp"

namespace gangway::test {
namespace {

class Embedding : public FaultTest {};
INSTANTIATE_TEST_SUITE_P(, Embedding, ::testing::ValuesIn(main_agents()), agent_name);

TEST_P(Embedding, I1_handles_are_destroyed_in_every_order) {
  std::array<int, 4> order{0, 1, 2, 3};
  do {
    auto own = std::make_unique<Group>();
    auto gateway = std::make_unique<Gateway>(own->makegateway(spec()));
    auto task = std::make_unique<Channel>(gateway->remote_exec("for item in channel: channel.send(item)"));
    auto idle = std::make_unique<Channel>(gateway->newchannel());
    task->send(value_from(*idle));
    for (const int which : order) {
      if (which == 0) own.reset();
      if (which == 1) gateway.reset();
      if (which == 2) task.reset();
      if (which == 3) idle.reset();
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_P(Embedding, I1_handles_are_destroyed_in_completion_handlers) {
  for (int round = 0; round < 10; ++round) {
    auto own = std::make_unique<Group>();
    std::promise<void> done;
    {
      Gateway gateway = own->makegateway(spec());
      Channel channel = gateway.remote_exec("channel.send(1)\nchannel.receive()");
      channel.async_receive([&done, &own, gateway, kept = channel](boost::system::error_code, const Value&) mutable {
        kept = {};
        gateway = {};
        own.reset();
        done.set_value();
      });
    }
    ASSERT_EQ(done.get_future().wait_for(patience), std::future_status::ready);
  }
}

TEST_P(Embedding, I1_handles_of_static_storage_and_at_exit) {
  // fault_controller has them in main; here one outlives main's locals: see B6 "default".
  ControllerProcess controller("default", spec());
  (void)controller.ready();
  const auto status = controller.wait();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 5);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 5s));
}

// As everywhere in Asio, a context has to live as long as operations that complete on it are
// pending. Those that have completed and were not run are destroyed with it.
TEST_P(Embedding, I2_a_context_that_nobody_runs_destroys_its_handlers_uncalled) {
  Gateway gateway = start();
  const auto alive = std::make_shared<int>();
  bool called = false;
  {
    boost::asio::io_context context;
    Channel channel = gateway.remote_exec("channel.send(1)\nchannel.receive()");
    channel.async_waitclose(
        boost::asio::bind_executor(context, [alive, &called](boost::system::error_code) { called = true; }));
    for (int i = 0; i < 2; ++i)
      channel.async_receive(boost::asio::bind_executor(
          context, [alive, &called](boost::system::error_code, const Value&) { called = true; }));
    context.stop();
    auto last = channel.async_waitclose(boost::asio::use_future);
    auto receive = channel.async_receive(boost::asio::use_future);
    gateway.exit();
    EXPECT_THROW(last.get(), boost::system::system_error);
    EXPECT_THROW((void)receive.get(), boost::system::system_error);
    EXPECT_EQ(alive.use_count(), 4);
  }
  EXPECT_FALSE(called);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_P(Embedding, I2_operations_that_are_pending_at_the_end_complete) {
  Gateway gateway = start();
  Channel channel = gateway.newchannel();
  auto received = channel.async_receive(boost::asio::use_future);
  auto closed = channel.async_waitclose(boost::asio::use_future);
  end_group();
  EXPECT_THROW((void)received.get(), boost::system::system_error);
  EXPECT_THROW(closed.get(), boost::system::system_error);
}

TEST_P(Embedding, I4_eight_threads_on_one_channel_and_three_on_an_io_context) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  boost::asio::io_context context;
  std::atomic<int> received = 0;
  auto work = boost::asio::make_work_guard(context);
  std::vector<std::thread> runners;
  for (int i = 0; i < 3; ++i) runners.emplace_back([&] { context.run(); });
  std::vector<std::thread> threads;
  for (int who = 0; who < 8; ++who)
    threads.emplace_back([&, who, channel]() mutable {
      for (int i = 0; i < 300; ++i) {
        if (who % 2 == 0) {
          channel.send(i);
          (void)take(channel);
          ++received;
        } else {
          channel.async_send(i, boost::asio::bind_executor(context, [](boost::system::error_code) {}));
          channel.async_receive(boost::asio::bind_executor(context, [&](boost::system::error_code error, const Value&) {
            if (!error) ++received;
          }));
        }
        if (i % 50 == 0) (void)gateway.remote_status(patience);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(eventually([&] { return received == 8 * 300; }, 20s)) << received;
  work.reset();
  for (std::thread& runner : runners) runner.join();
}

// User code never runs on the thread that does the I/O, so the row's case cannot be made
// through the public API; what can: blocking in a completion handler, which is allowed.
TEST_P(Embedding, I5_a_completion_handler_may_block) {
  Gateway gateway = start();
  Channel first = gateway.remote_exec("channel.send(1)\nchannel.receive()");
  Channel second = gateway.remote_exec("for item in channel: channel.send(item)");
  std::promise<Value> done;
  first.async_receive([&](boost::system::error_code, const Value& item) {
    try {
      second.send(item);
      done.set_value(take(second));
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  auto future = done.get_future();
  ASSERT_EQ(future.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(future.get(), 1);
}

// I7 for C++: the parent's gateways are nothing to a forked child.
TEST_P(Embedding, I7_a_forked_child_cannot_use_the_parents_gateways) {
  Gateway gateway = start();
  Channel channel = gateway.remote_exec("for item in channel: channel.send(item)");
  const pid_t child = ::fork();
  if (child == 0) {
    int refused = 0;
    const auto expect_error = [&](auto&& use) {
      try {
        use();
      } catch (const Error&) {
        ++refused;
      }
    };
    expect_error([&] { channel.send(1); });
    expect_error([&] { (void)channel.receive(100ms); });
    expect_error([&] { (void)gateway.remote_exec("pass"); });
    expect_error([&] { (void)gateway.remote_status(100ms); });
    expect_error([&] { (void)gateway.ping(100ms); });
    expect_error([&] { (void)group().makegateway(spec()); });
    gateway.exit();
    channel = {};
    (void)group().terminate(0s);
    ::_exit(refused);
  }
  int status = 0;
  ASSERT_TRUE(eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }, 20s));
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 6);
  channel.send(5);
  EXPECT_EQ(take<int>(channel), 5) << "the parent's connection is intact";
}

}  // namespace
}  // namespace gangway::test
