// Gateways through programs of this machine: sudo, su, nsenter, unshare, ip netns, stubs of the
// container tools.
#include <gmock/gmock.h>

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string find_program(const std::string& name) {
  for (const char* const directory : {"/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"})
    if (::access((directory + name).c_str(), X_OK) == 0) return directory + name;
  return {};
}

#define NEEDS(name) \
  if (find_program(name).empty()) GTEST_SKIP() << "no " << (name) << " on this machine"
#define NEEDS_ROOT \
  if (::geteuid() != 0) GTEST_SKIP() << "needs root"

// A user that every system has, and who is nobody else.
constexpr const char* other_user = "daemon";

std::string python() { return main_agents().back().spec.substr(std::string_view("popen//python=").size()); }

constexpr std::string_view who = "import os, pwd; channel.send(pwd.getpwuid(os.getuid()).pw_name)";
constexpr std::string_view cookie_of_process =
    "import os\n"
    "with open('/proc/self/environ', 'rb') as f: entries = f.read().split(b'\\0')\n"
    "here = b'GANGWAY_COOKIE=' + os.environ['GANGWAY_COOKIE'].encode() in entries\n"
    "channel.send((os.environ['GANGWAY_COOKIE'], here))";

class Client : public GroupTest {
 protected:
  Gateway start(const std::string& spec) { return group().makegateway(spec + "//python=" + python()); }

  void check_cookie(const Gateway& gateway) {
    const Value answer = ask(gateway, cookie_of_process);
    EXPECT_EQ(answer.as_tuple()[0].as_str(), cookie());
    EXPECT_TRUE(answer.as_tuple()[1].as_bool()) << "in the process's own environment";
  }
  StartError failure(const std::string& spec) { return start_error(group(), spec); }
  /// A program `name` first in PATH, which writes its words, a line each, and goes on as `rest` says.
  void stub(const std::string& name, const std::string& rest) {
    (void)directory_.write(name, "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + words_file(name) + "\n" + rest + "\n", true);
    if (!path_) path_.emplace("PATH", directory_.path() + ":" + std::getenv("PATH"));
  }
  /// With which it was called; the first stage as STAGE0.
  std::string words(const std::string& name) {
    std::ifstream file(words_file(name));
    std::string all;
    for (std::string word; std::getline(file, word);)
      all += (all.empty() ? "" : " ") + (word.find("gangway: bootstrap") == word.npos ? word : "STAGE0");
    return all;
  }

 protected:
  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }
  [[nodiscard]] std::string place(const std::string& name) const { return directory_ / name; }

 private:
  std::string words_file(const std::string& name) const { return directory_ / (name + ".words"); }
  TemporaryDirectory directory_;
  std::optional<EnvironmentScope> path_;
};

TEST_F(Client, command_leads_to_a_python) {
  Gateway gateway = group().makegateway("command=nice -n 0 " + python());
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
  EXPECT_EQ(ask(gateway, "import os; channel.send(os.environ['GANGWAY_COOKIE'])").as_str(), cookie());
  EXPECT_EQ(ask<int>(start("command=env -i"), "channel.send(1)"), 1);
}

TEST_F(Client, command_has_the_cookie_even_if_the_environment_is_cleaned) {
  Gateway gateway = group().makegateway("command=env -i " + python());
  EXPECT_EQ(ask(gateway, "import os; channel.send(os.environ['GANGWAY_COOKIE'])").as_str(), cookie());
}

TEST_F(Client, a_pid_of_the_far_side_is_nobody_here) {
  // The agent's parent is the client here, so the pid would be believed of a popen gateway.
  Gateway gateway = group().makegateway("command=" + python());
  const auto pid = static_cast<pid_t>(gateway.info().pid);
  const Value stopped = ask(gateway, "import os; channel.send(os.getpid())");
  EXPECT_EQ(stopped.as_int(), pid);
  gateway.kill();
  EXPECT_TRUE(eventually([&] { return ::kill(pid, 0) != 0; }, 10s)) << "it dies with its keeper";
}

TEST_F(Client, command_that_does_not_exist_or_fails_says_so) {
  EXPECT_THAT(failure("command=/no/such/program").what(), HasSubstr("/no/such/program"));
  const StartError ended = failure("command=sh -c 'echo no luck >&2; exit 3' x");
  EXPECT_THAT(ended.what(), AllOf(HasSubstr("exit status 3"), HasSubstr("no luck")));
}

TEST_F(Client, sudo_to_root_and_to_another_user) {
  NEEDS("sudo");
  NEEDS_ROOT;
  Gateway root = start("sudo");
  EXPECT_EQ(ask(root, who).as_str(), "root");
  check_cookie(root);
  Gateway other = start(std::string("sudo=") + other_user);
  EXPECT_EQ(ask(other, who).as_str(), other_user);
  check_cookie(other);
}

TEST_F(Client, su_to_another_user_whose_shell_is_nologin) {
  NEEDS("su");
  NEEDS_ROOT;
  Gateway other = start(std::string("su=") + other_user);
  EXPECT_EQ(ask(other, who).as_str(), other_user);
  check_cookie(other);
  EXPECT_EQ(failure("su=no-such-user").code(), errc::host_not_found);
}

TEST_F(Client, sudo_that_wants_a_password_fails_at_once) {
  NEEDS("sudo");
  NEEDS_ROOT;
  // This user may do nothing by sudo without a password.
  const auto begin = std::chrono::steady_clock::now();
  const StartError error = failure("command=setpriv --reuid=65534 --regid=65534 --clear-groups sudo -n python3");
  EXPECT_EQ(error.code(), errc::auth_failed) << error.what();
  EXPECT_THAT(error.what(), HasSubstr("password"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, patience);
}

TEST_F(Client, sudo_of_an_unknown_user_says_so) {
  NEEDS("sudo");
  NEEDS_ROOT;
  EXPECT_EQ(failure("sudo=no-such-user").code(), errc::host_not_found);
}

// The end of the agent behind sudo or su, when it does not go by itself: killing sudo is not
// enough, its keeper has to see that we are gone.
TEST_F(Client, nothing_is_left_behind_sudo_when_the_task_does_not_end) {
  NEEDS("sudo");
  NEEDS_ROOT;
  Gateway gateway = start(std::string("sudo=") + other_user);
  Channel busy = gateway.remote_exec(
      "import signal, time\nchannel.send(1)\n"
      "while True:\n  try: time.sleep(1000)\n  except BaseException: pass");
  EXPECT_EQ(take<int>(busy), 1);
  const auto report = group().terminate(500ms);
  EXPECT_TRUE(report.survivors.empty());
  EXPECT_TRUE(wait_for_no_survivors(cookie()));
}

TEST_F(Client, nothing_is_left_when_the_client_is_killed) {
  NEEDS("su");
  NEEDS_ROOT;
  Gateway gateway = start(std::string("su=") + other_user);
  Channel busy = gateway.remote_exec("import time\nchannel.send(1)\nwhile True: time.sleep(1)");
  EXPECT_EQ(take<int>(busy), 1);
  gateway.kill();
  EXPECT_THROW(busy.waitclose(patience), ConnectionLost);
  EXPECT_TRUE(wait_for_no_survivors(cookie(), 15s));
}

TEST_F(Client, doas_to_another_user) {
  NEEDS("doas");
  NEEDS_ROOT;
  if (std::system("unshare -m true 2>/dev/null") != 0) GTEST_SKIP() << "no mount namespaces here";
  // The real one, with an /etc of its own; not every machine has all of these.
  ASSERT_EQ(std::system(("mkdir " + place("etc") +
                         " && cd /etc && for each in passwd group shadow pam.d security nsswitch.conf; do"
                         " test ! -e $each || cp -a $each " +
                         place("etc") + " || exit 1; done")
                            .c_str()),
            0);
  (void)directory().write("etc/doas.conf",
                          "permit nopass root as " + std::string(other_user) + "\npermit root as bin\n");
  ASSERT_EQ(::chmod(place("etc/doas.conf").c_str(), 0600), 0);
  stub("doas", "exec unshare -m sh -c 'mount --bind " + place("etc") + " /etc && exec " + find_program("doas") +
                   " \"$@\"' doas \"$@\"");
  Gateway other = start(std::string("doas=") + other_user);
  EXPECT_EQ(ask(other, who).as_str(), other_user);
  check_cookie(other);
  const StartError password = failure("doas=bin");
  EXPECT_EQ(password.code(), errc::auth_failed) << password.what();
  EXPECT_THAT(password.what(), HasSubstr("nopass"));
  EXPECT_EQ(failure("doas=games").code(), errc::auth_failed);
  EXPECT_EQ(failure("doas=no-such-user").code(), errc::host_not_found);
}

TEST_F(Client, short_forms_of_namespaces) {
  NEEDS_ROOT;
  NEEDS("unshare");
  NEEDS("nsenter");
  if (std::system("unshare -n true 2>/dev/null") != 0) GTEST_SKIP() << "no network namespaces here";
  const auto network = [&](const Gateway& gateway) {
    return ask(gateway, "import os; channel.send(os.readlink('/proc/self/ns/net'))").as_str();
  };
  const std::string here = network(group().makegateway("popen"));
  Gateway there = start("unshare=-n -u");
  EXPECT_NE(network(there), here);
  check_cookie(there);
  const auto pid = std::to_string(there.info().pid);
  const auto host = [&](const Gateway& gateway) {
    return ask(gateway, "import os; channel.send(os.readlink('/proc/self/ns/uts'))").as_str();
  };
  Gateway all = start("nsenter=" + pid);
  EXPECT_EQ(network(all), network(there));
  EXPECT_EQ(host(all), host(there));
  check_cookie(all);
  Gateway one = start("nsenter=-t " + pid + " -n");
  EXPECT_EQ(network(one), network(there));
  EXPECT_NE(host(one), host(there));

  EXPECT_EQ(failure("nsenter=99999999").code(), errc::host_not_found);
  EXPECT_EQ(failure("unshare=-n//python=/no/such/python").code(), errc::python_not_found);
  EXPECT_THAT(failure("unshare=--no-such-option").what(), HasSubstr("no-such-option"));
}

TEST_F(Client, another_root_directory) {
  NEEDS_ROOT;
  NEEDS("chroot");
  // All of this machine's, bound elsewhere, and a directory that only there is: mounts of a namespace that goes.
  const std::string root = place("root");
  const std::string enter = "unshare -m sh -c 'mkdir -p " + root + " && mount --rbind / " + root +
                            " && mount -t tmpfs none " + root + "/mnt && mkdir " + root +
                            "/mnt/inside && exec chroot " + root + " \"$@\"' sh ";
  if (std::system((enter + "true 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "no mount namespaces here";
  Gateway gateway = group().makegateway("command=" + enter + python());
  EXPECT_TRUE(ask(gateway, "import os; channel.send(os.path.isdir('/mnt/inside'))").as_bool());
  EXPECT_NE(::access("/mnt/inside", F_OK), 0) << "here it is not";
}

TEST_F(Client, other_namespaces) {
  NEEDS_ROOT;
  const std::string here =
      ask(group().makegateway("popen"), "import os; channel.send(os.readlink('/proc/self/ns/net'))").as_str();
  const auto network = [&](const std::string& spec) {
    return ask(group().makegateway(spec), "import os; channel.send(os.readlink('/proc/self/ns/net'))").as_str();
  };
  if (!find_program("unshare").empty()) {
    EXPECT_NE(network("command=unshare -n " + python()), here);
    // The agent is number 2 in its own place, behind its keeper: whoever that is here is left alone.
    Gateway inside = group().makegateway("command=unshare -p -f --mount-proc " + python());
    EXPECT_LE(inside.info().pid, 3);
    EXPECT_EQ(ask<int>(inside, "channel.send(1)"), 1);
    inside.kill();
  }
  if (!find_program("nsenter").empty()) {
    EXPECT_EQ(network("command=nsenter -t " + std::to_string(::getpid()) + " -n " + python()), here);
  }
}

TEST_F(Client, network_namespace_by_name) {
  NEEDS_ROOT;
  NEEDS("ip");
  const std::string name = "gangway-test-" + std::to_string(::getpid());
  if (std::system(("ip netns add " + name + " 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "no network namespaces here";
  {
    Gateway gateway = group().makegateway("command=ip netns exec " + name + " " + python());
    EXPECT_EQ(ask(gateway, "import os; channel.send(' '.join(os.listdir('/proc/self/net/dev_snmp6')))").as_str(), "lo");
    gateway.exit();
  }
  end_group();
  EXPECT_EQ(std::system(("ip netns del " + name).c_str()), 0);
}

TEST_F(Client, docker_and_podman_are_called_as_their_manuals_say) {
  for (const std::string tool : {"docker", "podman"}) {
    stub(tool, "test \"$1 $2 $3\" = 'exec -i -e' || exit 125\nexport \"$4\"; shift 5; exec \"$@\"");
    Gateway gateway = start(tool + "=web");
    EXPECT_EQ(words(tool), "exec -i -e GANGWAY_COOKIE=" + cookie() + " web " + python() + " -u -c STAGE0");
    check_cookie(gateway);
  }
  stub("docker", "echo 'Error response from daemon: No such container: web' >&2; exit 1");
  const StartError error = failure("docker=web");
  EXPECT_EQ(error.code(), errc::host_not_found);
  EXPECT_THAT(error.what(), HasSubstr("no such container"));
}

TEST_F(Client, kubectl_is_called_as_its_manual_says) {
  stub("kubectl", "while test \"$1\" != --; do shift; done; shift; exec \"$@\"");
  Gateway gateway = start("kubectl=-n prod -c app web-0");
  EXPECT_EQ(words("kubectl"),
            "exec -i -n prod -c app web-0 -- env GANGWAY_COOKIE=" + cookie() + " " + python() + " -u -c STAGE0");
  check_cookie(gateway);
}

TEST_F(Client, vagrant_is_called_as_its_manual_says) {
  stub("vagrant", "for last; do :; done; exec sh -c \"$last\"");
  Gateway gateway = group().makegateway("vagrant_ssh=box");
  EXPECT_THAT(words("vagrant"), HasSubstr("ssh box -- -C "));
  check_cookie(gateway);
}

}  // namespace
}  // namespace gangway::test
