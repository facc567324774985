// Where lines go: LineWriter, OutputQueue, and the StderrPump that feeds them.
#include <gmock/gmock.h>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include <gangway/error.hpp>
#include <gangway/limits.hpp>

#include "core/runtime.hpp"
#include "gateways/line_writer.hpp"
#include "gateways/output_queue.hpp"
#include "gateways/stderr_pump.hpp"
#include "tests/support/leak_check.hpp"
#include "tests/support/poll.hpp"

namespace gangway::detail {
namespace {

using namespace std::chrono_literals;
using test::eventually;

Output lines(std::string text) { return {"gw", 0, OutputStream::err, std::move(text)}; }

/// What comes out of a pipe until `size` bytes are there.
std::string read_from(const FileDescriptor& fd, std::size_t size) {
  std::string all;
  char buffer[64 * 1024];
  while (all.size() < size) {
    const ssize_t got = ::read(fd.get(), buffer, std::min(sizeof buffer, size - all.size()));
    if (got <= 0) break;
    all.append(buffer, static_cast<std::size_t>(got));
  }
  return all;
}

class Sinks : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(test::wait_for_no_leaks(before_)); }

 private:
  test::Holdings before_ = test::Holdings::now();
};

TEST_F(Sinks, writer_never_blocks_its_callers_and_loses_nothing_below_the_bound) {
  Pipe pipe = make_pipe();
  const auto writer = LineWriter::create(pipe.write.get());
  const std::string line = std::string(999, 'x') + "\n";
  std::atomic<bool> room = false;
  std::size_t taken = 0;
  // Nobody reads: pipe and writer fill up, and then offers are refused.
  for (Output output = lines(line); writer->offer(output, [&] { room = true; }); output = lines(line)) ++taken;
  EXPECT_GE(taken * line.size() + line.size(), limits::output_held);
  EXPECT_LT(taken * line.size(), limits::output_held + 80 * 1024) << "and what the pipe holds";
  EXPECT_FALSE(room);
  EXPECT_FALSE(writer->flush(10ms));
  writer->push(lines("last\n"));
  EXPECT_EQ(read_from(pipe.read, taken * line.size() + 5).substr(taken * line.size()), "last\n");
  EXPECT_TRUE(eventually([&] { return room.load(); }));
  EXPECT_TRUE(writer->flush(5s));
}

TEST_F(Sinks, writer_drops_last_words_beyond_the_bound) {
  Pipe pipe = make_pipe();
  const auto writer = LineWriter::create(pipe.write.get());
  const std::string much = std::string(1'000'000, 'x') + "\n";
  for (int i = 0; i < 10; ++i) writer->push(lines(much));
  EXPECT_EQ(read_from(pipe.read, 4 * much.size()).size(), 4 * much.size());
  EXPECT_TRUE(writer->flush(5s)) << "the other six are gone";
}

TEST_F(Sinks, writer_copes_with_streams_that_are_non_blocking_broken_or_closed) {
  Pipe pipe = make_pipe();
  ASSERT_FALSE(set_nonblocking(pipe.write.get()));
  const auto writer = LineWriter::create(pipe.write.get());
  const std::string text(200'000, 'y');
  writer->push(lines(text));
  EXPECT_EQ(read_from(pipe.read, text.size()), text);
  pipe.read.reset();
  writer->push(lines("nobody reads\n"));  // no SIGPIPE
  EXPECT_TRUE(writer->flush(5s));
  const auto closed = LineWriter::create(9999);
  closed->push(lines("nowhere\n"));
  EXPECT_TRUE(closed->flush(5s));
}

// Another process on the same pipe: our lines are one write each as long as they fit.
TEST_F(Sinks, lines_are_not_torn_by_others_who_write_there) {
  Pipe pipe = make_pipe();
  const auto writer = LineWriter::create(pipe.write.get());
  const std::string ours = std::string(1500, 'a') + "\n";
  const std::string theirs = std::string(1500, 'b') + "\n";
  constexpr std::size_t count = 500;
  std::thread other([&] {
    for (std::size_t i = 0; i < count; ++i) (void)!::write(pipe.write.get(), theirs.data(), theirs.size());
  });
  std::thread feeder([&] {
    for (std::size_t i = 0; i < count; ++i) {
      Output output = lines(ours);
      while (!writer->offer(output, [] {})) std::this_thread::sleep_for(1ms);
    }
  });
  const std::string all = read_from(pipe.read, 2 * count * ours.size());
  other.join();
  feeder.join();
  std::size_t torn = 0;
  for (std::size_t at = 0; at < all.size(); at += ours.size()) {
    const std::string line = all.substr(at, ours.size());
    torn += line != ours && line != theirs;
  }
  EXPECT_EQ(torn, 0u);
}

TEST_F(Sinks, queue_holds_what_comes_before_its_function_and_refuses_more) {
  const auto queue = std::make_shared<OutputQueue>();
  std::atomic<bool> room = false;
  std::size_t taken = 0;
  for (Output output = lines("a line\n"); queue->offer(output, [&] { room = true; }); output = lines("a line\n"))
    ++taken;
  EXPECT_EQ(taken, limits::output_held / 7);
  std::atomic<std::size_t> called = 0;
  queue->set([&](const Output&) { ++called; }, CallbackThread::start());
  EXPECT_TRUE(eventually([&] { return called == taken && room; }));
}

TEST_F(Sinks, a_function_that_blocks_holds_up_nobody_else) {
  const auto queue = std::make_shared<OutputQueue>();
  std::mutex gate;
  std::unique_lock closed(gate);
  std::atomic<int> called = 0;
  queue->set(
      [&](const Output&) {
        const std::lock_guard wait(gate);
        ++called;
      },
      CallbackThread::start());
  Output first = lines("1\n");
  Output second = lines("2\n");
  EXPECT_TRUE(queue->offer(first, [] {}));
  EXPECT_TRUE(queue->offer(second, [] {})) << "taken, although the function blocks";
  EXPECT_EQ(called, 0);
  closed.unlock();
  EXPECT_TRUE(eventually([&] { return called == 2; }));
}

/// Takes only when it is told to.
class Gate final : public OutputSink {
 public:
  bool offer(Output& output, OnRoom on_room) override {
    const std::lock_guard lock(mutex_);
    if (!open_) {
      waiting_ = std::move(on_room);
      return false;
    }
    text_ += output.text;
    return true;
  }
  void push(Output output) override {
    const std::lock_guard lock(mutex_);
    text_ += output.text;
  }
  void open() {
    OnRoom told;
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
      told = std::exchange(waiting_, nullptr);
    }
    if (told) told();
  }
  [[nodiscard]] bool refused() {
    const std::lock_guard lock(mutex_);
    return waiting_ != nullptr;
  }
  [[nodiscard]] std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  bool open_ = false;
  OnRoom waiting_;
  std::string text_;
};

class Pump : public Sinks {
 protected:
  void TearDown() override {
    pump_.reset();
    pipe_ = {};
    runtime_.reset();
    Sinks::TearDown();
  }

  std::shared_ptr<Runtime> runtime_ = Runtime::create();
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  Pipe pipe_ = make_pipe();
  std::shared_ptr<StderrPump> pump_;

  void start() {
    pump_ = std::make_shared<StderrPump>(runtime_->io(), std::move(pipe_.read));
    pump_->start("gw", gate_);
    runtime_->keep_going();
  }
  void write(std::string_view text) {
    EXPECT_EQ(::write(pipe_.write.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
};

TEST_F(Pump, passes_on_whole_lines_and_keeps_the_tail) {
  gate_->open();
  start();
  write("one\ntw");
  EXPECT_TRUE(eventually([&] { return gate_->text() == "one\n"; })) << gate_->text();
  write("o\nend");
  EXPECT_TRUE(eventually([&] { return gate_->text() == "one\ntwo\n"; })) << gate_->text();
  EXPECT_TRUE(eventually([&] { return pump_->tail() == "one\ntwo\nend"; }));
  pump_->close();
  EXPECT_EQ(gate_->text(), "one\ntwo\nend\n");
  EXPECT_EQ(pump_->tail(), "one\ntwo\nend");
}

TEST_F(Pump, reads_no_more_than_a_bound_while_its_sink_is_full) {
  start();
  ASSERT_FALSE(set_nonblocking(pipe_.write.get()));
  const std::string line = std::string(99, 'z') + "\n";
  write(line);
  EXPECT_TRUE(eventually([&] { return gate_->refused(); }));
  std::size_t written = line.size();
  // The writer would wait now: the pipe is full.
  while (::write(pipe_.write.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()))
    written += line.size();
  EXPECT_LT(written, 64u * 1024 + 32 * 1024) << "a pipe, and what was read before";
  gate_->open();
  EXPECT_TRUE(eventually([&] { return gate_->text().size() == written; })) << gate_->text().size();
  write(line);
  EXPECT_TRUE(eventually([&] { return gate_->text().size() == written + line.size(); })) << "it goes on";
  pump_->close();
}

TEST_F(Pump, drains_what_is_there_for_the_death_record_although_its_sink_is_full) {
  start();
  write("first\n");
  EXPECT_TRUE(eventually([&] { return gate_->refused(); }));
  write("last words\n");
  pump_->drain();
  EXPECT_EQ(pump_->tail(), "first\nlast words\n");
  pump_->close();
  EXPECT_EQ(gate_->text(), "first\nlast words\n");
}

TEST_F(Pump, closes_a_descriptor_that_cannot_be_watched) {
  // epoll takes no O_PATH descriptor; the fixture sees whether it stays open.
  FileDescriptor odd(::open("/dev/null", O_PATH | O_CLOEXEC));
  ASSERT_TRUE(odd);
  EXPECT_THROW(StderrPump(runtime_->io(), std::move(odd)), Error);
}

}  // namespace
}  // namespace gangway::detail
