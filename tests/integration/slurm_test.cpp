// slurm=, in a real Slurm of the test's own (tests/support/private_slurm.py).
#include <gtest/gtest.h>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "core/process.hpp"
#include "tests/faults/fault_test.hpp"
#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/sshd.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {
namespace {

pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t at = text.rfind(')');
  return at == text.npos || at + 4 >= text.size() ? -1 : static_cast<pid_t>(std::atoi(text.c_str() + at + 4));
}

/// Ends with its stdin.
class Slurm {
 public:
  Slurm() {
    detail::Pipe in = detail::make_pipe();
    detail::Pipe out = detail::make_pipe();
    process_ = detail::ChildProcess::start(
        {{"/usr/bin/env", "python3", "-B", Sshd::support("private_slurm.py"), directory_.path()},
         {{"GANGWAY_COOKIE", ""}},
         {{in.read.get(), 0}, {out.write.get(), 1}, {out.write.get(), 2}}});
    out.write.reset();
    in_ = std::move(in.write);
    char buffer[512];
    pollfd wait{out.read.get(), POLLIN, 0};
    while (said_.find('\n') == said_.npos && ::poll(&wait, 1, 60'000) > 0) {
      const ssize_t size = ::read(out.read.get(), buffer, sizeof buffer);
      if (size <= 0) break;
      said_.append(buffer, static_cast<std::size_t>(size));
    }
    conf_.emplace("SLURM_CONF", directory_ / "slurm.conf");
  }
  ~Slurm() {
    in_.reset();
    (void)process_.wait_for(60s);
  }
  Slurm(const Slurm&) = delete;
  Slurm& operator=(const Slurm&) = delete;
  [[nodiscard]] bool ready() const { return said_.starts_with("ready"); }
  [[nodiscard]] const std::string& said() const { return said_; }
  /// The daemon of the node gwn1, as by a crash: "ready", munged, slurmctld, and those of the nodes.
  void kill_slurmd() const {
    std::istringstream words(said_);
    std::string word;
    for (int i = 0; i < 4; ++i) words >> word;
    ASSERT_EQ(::kill(static_cast<pid_t>(std::stoi(word)), SIGKILL), 0);
  }

 private:
  TemporaryDirectory directory_;
  std::optional<EnvironmentScope> conf_;
  detail::ChildProcess process_;
  detail::FileDescriptor in_;
  std::string said_;
};

class SlurmGateway : public GroupTest {
 protected:
  void SetUp() override {
    GroupTest::SetUp();
    slurm_.emplace();
    if (!slurm_->ready()) GTEST_SKIP() << slurm_->said();
  }
  void TearDown() override {
    end_group();
    EXPECT_TRUE(wait_for_no_survivors(cookie(), 12s));
    slurm_.reset();
    GroupTest::TearDown();
  }
  [[nodiscard]] const Slurm& slurm() const { return *slurm_; }
  static std::string spec(const std::string& options = {}) {
    return "slurm" + (options.empty() ? "" : "=" + options) + "//python=/usr/bin/python3";
  }
  Gateway start(const std::string& options = {}) { return group().makegateway(spec(options)); }
  std::string node(const Gateway& gateway) {
    return ask(gateway, "import os; channel.send(os.environ['SLURMD_NODENAME'])").as_str();
  }
  Channel busy(Gateway gateway) {
    Channel channel = gateway.remote_exec("import time\nchannel.send(1)\nwhile True: time.sleep(1)");
    EXPECT_EQ(take<int>(channel), 1);
    return channel;
  }

 private:
  std::optional<Slurm> slurm_;
};

TEST_F(SlurmGateway, agents_run_where_slurm_puts_them) {
  Gateway first = start("-w gwn1");
  Gateway second = start("-w gwn2");
  EXPECT_EQ(node(first), "gwn1");
  EXPECT_EQ(node(second), "gwn2");
  EXPECT_EQ(ask(first, "import os; channel.send(os.environ['GANGWAY_COOKIE'])").as_str(), cookie());
  Channel echo = first.remote_exec("channel.send(channel.receive())");
  echo.send(zeros(1'000'000));
  EXPECT_EQ(take(echo).as_bytes().size(), 1'000'000u);
  const StartError error = start_error(group(), spec("-p no-such-partition"));
  EXPECT_EQ(error.code(), errc::host_not_found) << error.what();
}

TEST_F(SlurmGateway, a_group_in_one_allocation_has_a_task_per_gateway) {
  ASSERT_EQ(std::system("salloc -N2 --no-shell -J gangway >/dev/null 2>&1"), 0);
  std::string number;
  {
    FILE* const out = ::popen("squeue -h -n gangway -o %i", "r");
    char line[64] = {};
    if (out != nullptr && std::fgets(line, sizeof line, out) != nullptr) number = line;
    if (out != nullptr) ::pclose(out);
    number = number.substr(0, number.find('\n'));
  }
  Gateway first = start("--jobid=" + number + " --overlap -w gwn1");
  Gateway second = start("--jobid=" + number + " --overlap -w gwn2");
  for (Gateway* const gateway : {&first, &second})
    EXPECT_EQ(ask(*gateway, "import os; channel.send(os.environ['SLURM_JOB_ID'])").as_str(), number);
  Channel one = busy(first);
  Channel two = busy(second);
  ASSERT_EQ(std::system(("scancel " + number).c_str()), 0);
  EXPECT_THROW(one.waitclose(patience), ConnectionLost);
  EXPECT_THROW(two.waitclose(patience), ConnectionLost);
}

TEST_F(SlurmGateway, nothing_is_left_after_kill) {
  Gateway gateway = start();
  Channel channel = busy(gateway);
  gateway.kill();
  EXPECT_THROW(channel.waitclose(patience), ConnectionLost);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 15s));
}

TEST_F(SlurmGateway, nothing_is_left_of_a_controller_that_is_killed) {
  ControllerProcess controller("ignore", "slurm=-n1//python=/usr/bin/python3", 2);
  const auto workers = controller.ready();
  ASSERT_EQ(workers.size(), 2u);
  controller.signal(SIGKILL);
  ASSERT_TRUE(controller.wait());
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 30s));
  for (const pid_t worker : workers) EXPECT_TRUE(eventually([&] { return ::kill(worker, 0) != 0; }, 30s));
}

// The step goes on without the node's daemon; the next one does not come about.
TEST_F(SlurmGateway, a_node_whose_daemon_died_is_an_error_of_new_gateways_in_time) {
  Gateway before = start("-w gwn1");
  Channel echo = before.remote_exec("while 1: channel.send(channel.receive())");
  ASSERT_NO_FATAL_FAILURE(slurm().kill_slurmd());
  echo.send(1);
  EXPECT_EQ(take<int>(echo), 1);
  before.exit();
  EXPECT_TRUE(group().terminate(5s).survivors.empty());
  const StartError error = start_error(group(), spec("-w gwn1") + "//connect_timeout=5");
  EXPECT_EQ(error.code(), errc::bootstrap_timeout) << error.what();  // srun waits for the node
  EXPECT_TRUE(group().terminate(1s).survivors.empty());
}

TEST_F(SlurmGateway, nothing_is_left_when_the_step_daemon_dies) {
  Gateway gateway = start();
  Channel channel = busy(gateway);
  const pid_t keeper = parent_of(static_cast<pid_t>(gateway.info().pid));
  ASSERT_EQ(::kill(parent_of(keeper), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] { return ::kill(static_cast<pid_t>(gateway.info().pid), 0) != 0; }, 15s));
  EXPECT_TRUE(group().terminate(1s).survivors.empty());
}

}  // namespace
}  // namespace gangway::test
