// Two connections that talk to each other in one process, for tests.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include <gangway/channel.hpp>

#include "channels/channel_handle.hpp"
#include "channels/connection.hpp"
#include "gateways/fd_stream.hpp"
#include "tests/support/leak_check.hpp"
#include "tests/support/machine.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/script_stream.hpp"

namespace gangway::testing {

using detail::Connection;
using detail::ConnectionEnd;
using detail::FdStream;
using detail::FileDescriptor;
using detail::Runtime;
using namespace std::chrono_literals;

inline constexpr auto patience = 20s;  // a deadline, not a duration that is waited for

/// Runs on a thread of its own; an exception ends the test.
template <class Action>
[[nodiscard]] auto later(Action action) {
  return std::async(std::launch::async, std::move(action));
}

template <class Future>
[[nodiscard]] bool is_ready(Future& future, std::chrono::milliseconds time = 0ms) {
  return future.wait_for(time) == std::future_status::ready;
}

/// Ends its connection when the stream ends, with a death record that can be recognised.
class Owner final : public Connection::Owner {
 public:
  std::optional<std::string> on_hello(const Value&) override { return refuse; }
  void on_exec(const Connection::ChannelPtr& channel, Bytes request) override {
    const std::lock_guard lock(mutex);
    execs.emplace_back(channel->id, std::move(request));
  }
  void on_interrupt(std::uint32_t) override { ++interrupts; }
  void on_terminate() override { ++terminates; }
  void on_pong() override { ++pongs; }
  std::optional<Bytes> on_need(std::string_view name) override {
    const auto found = parts.find(name);
    return found == parts.end() ? std::nullopt : std::optional(found->second);
  }
  void on_part(std::string_view name, std::span<const std::byte> zlib) override {
    const std::lock_guard lock(mutex);
    parts_received.push_back(std::string(name) + "=" + std::string(Bytes(zlib).view()));
  }
  void on_stacks(std::uint64_t request) override {
    if (stacks) stacks(request);
  }
  std::optional<Value> on_status(std::uint64_t, std::size_t live_channels) override {
    return Dict{{"numchannels", static_cast<std::int64_t>(live_channels)}};
  }
  void on_stream_end(ConnectionEnd end) override {
    ++stream_ends;
    end.death.exit_status = 3;
    if (const auto to_end = connection.lock()) to_end->finish(std::move(end));
  }
  void on_finished() override { ++finishes; }

  std::weak_ptr<Connection> connection;
  std::optional<std::string> refuse;
  std::mutex mutex;
  std::vector<std::pair<std::uint32_t, Bytes>> execs;
  std::map<std::string, Bytes, std::less<>> parts;  // that it has for the agent
  std::vector<std::string> parts_received;
  std::function<void(std::uint64_t)> stacks;
  std::atomic<int> interrupts{0}, terminates{0}, pongs{0}, stream_ends{0}, finishes{0};
};

/// A connection and its owner.
struct End {
  std::shared_ptr<Owner> owner = std::make_shared<Owner>();
  std::shared_ptr<Connection> connection;

  End() = default;
  End(const std::shared_ptr<Runtime>& runtime, std::unique_ptr<detail::ByteStream> stream,
      const Multiplexer::Settings& settings)
      : connection(std::make_shared<Connection>(runtime, std::move(stream), settings)) {
    owner->connection = connection;
  }
  void start(std::optional<detail::Nonce> nonce = {}) { connection->start(owner, nonce, {}, Dict{}); }
  Connection* operator->() const { return connection.get(); }
};

[[nodiscard]] inline Channel channel_of(const End& end, std::uint32_t id) {
  return value_to<Channel>(Value(end.connection->channel(id)));
}
[[nodiscard]] inline Channel open(const End& end) { return channel_of(end, end->open_channel()->id); }

/// Behind the handle.
[[nodiscard]] inline Connection::ChannelPtr state_of(const Channel& channel) {
  return std::static_pointer_cast<detail::ChannelHandle>(value_from(channel).as_channel().object)->state;
}

[[nodiscard]] inline detail::Deadline in(std::chrono::nanoseconds time) { return detail::deadline_after(time); }

/// A controller and an agent, and what they leave behind is a failure.
class ConnectedTest : public test::LeakCheckedTest {
 protected:
  enum class Carrier { pipes, socket };

  void connect(std::uint64_t window = limits::window, Carrier carrier = Carrier::socket,
               std::optional<ChoppyStream::Habits> choppy = {}) {
    Multiplexer::Settings settings;
    settings.window = window;
    int to_agent[2], to_controller[2];
    if (carrier == Carrier::pipes) {
      ASSERT_EQ(::pipe2(to_agent, O_CLOEXEC), 0);
      ASSERT_EQ(::pipe2(to_controller, O_CLOEXEC), 0);
    } else {
      int ends[2];
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      to_controller[0] = ends[0];
      to_agent[1] = ::dup(ends[0]);
      to_agent[0] = ends[1];
      to_controller[1] = ::dup(ends[1]);
    }
    const auto stream = [&](int read_end, int write_end) -> std::unique_ptr<detail::ByteStream> {
      auto plain = std::make_unique<FdStream>(runtime->io(), FileDescriptor(read_end), FileDescriptor(write_end));
      if (!choppy) return plain;
      return std::make_unique<ChoppyStream>(std::move(plain), *choppy);
    };
    controller = End(runtime, stream(to_controller[0], to_agent[1]), settings);
    settings.side = Side::agent;
    settings.peer_channels = limits::live_channels;
    agent = End(runtime, stream(to_agent[0], to_controller[1]), settings);
    controller.start();
    agent.start();
    ASSERT_TRUE(controller->wait_ready(in(10s)));
    ASSERT_TRUE(agent->wait_ready(in(10s)));
  }

  /// A channel of the controller's, and its other end.
  std::pair<Channel, Channel> channel() {
    const Channel here = open(controller);
    controller->ping(in(10s));  // behind OPEN
    return {here, channel_of(agent, here.id())};
  }

  void TearDown() override {
    for (End* end : {&controller, &agent}) {
      if (end->connection) end->connection->finish({errc::terminated, "the test is over", {}});
      *end = {};
    }
    runtime.reset();
    LeakCheckedTest::TearDown();
  }

  std::shared_ptr<Runtime> runtime = Runtime::create();
  End controller;
  End agent;
};

/// How something failed.
struct Failure {
  boost::system::error_code code;
  std::string text;
  std::optional<int> exit_status;
  bool is_connection_lost = false;
};

template <class Action>
[[nodiscard]] Failure failure_of(Action action) {
  try {
    action();
  } catch (const ConnectionLost& error) {
    return {error.code(), error.what(), error.death().exit_status, true};
  } catch (const Error& error) {
    return {error.code(), error.what(), {}, false};
  }
  return {};
}

}  // namespace gangway::testing
