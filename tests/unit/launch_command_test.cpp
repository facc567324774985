#include "gateways/launch_command.hpp"

#include <gmock/gmock.h>

#include "gateways/client_failure.hpp"

namespace gangway::detail {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The words with blanks between; the first stage, which is long, as STAGE0.
std::string line(const std::string& text, LaunchSettings settings = {}) {
  settings.cookie = "c";
  const XSpec spec(text);
  const Bootstrap bootstrap(spec, {}, settings.cookie);
  std::string result;
  for (const std::string& word : launch_command(spec, bootstrap, settings))
    result += (result.empty() ? "" : " ") + (word == bootstrap.arguments().back() ? "STAGE0" : word);
  return result;
}

std::string rejection(const std::string& text, LaunchSettings settings = {}) {
  try {
    return "accepted: " + line(text, std::move(settings));
  } catch (const SpecError& error) {
    return error.what();
  }
}

TEST(LaunchCommand, appends_the_agent_to_what_leads_there) {
  const std::vector<std::pair<const char*, const char*>> table{
      {"command=chroot /srv/x python3.9", "chroot /srv/x python3.9 -u -c STAGE0"},
      {"command=doas -u web//python=pypy3 -X dev//dont_write_bytecode", "doas -u web pypy3 -X dev -u -B -c STAGE0"},
      {"command=chroot /srv/x python3.9//no_site//dont_write_bytecode//isolated",
       "chroot /srv/x python3.9 -u -B -I -S -c STAGE0"},
      {"command='my prog' \"a b\"", "my prog a b -u -c STAGE0"},
      {"docker=web", "docker exec -i -e GANGWAY_COOKIE=c web python3 -u -c STAGE0"},
      {"docker=-u 1000 -w /tmp web//python=python3.12",
       "docker exec -i -e GANGWAY_COOKIE=c -u 1000 -w /tmp web python3.12 -u -c STAGE0"},
      {"podman=web", "podman exec -i -e GANGWAY_COOKIE=c web python3 -u -c STAGE0"},
      {"kubectl=web-0", "kubectl exec -i web-0 -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"kubectl=-n prod -c app web-0",
       "kubectl exec -i -n prod -c app web-0 -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"sudo", "sudo -n -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"sudo=web", "sudo -n -u web -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"sudo=-u web -g www", "sudo -n -u web -g www -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"doas", "doas -n -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"doas=web", "doas -n -u web -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"doas=-C /etc/other.conf -u web",
       "doas -n -C /etc/other.conf -u web -- env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"nsenter=4711", "nsenter -a -t 4711 -- python3 -u -c STAGE0"},
      {"nsenter=-t 4711 -n//python=python3.12", "nsenter -t 4711 -n -- python3.12 -u -c STAGE0"},
      {"unshare=-r -n", "unshare -r -n -- python3 -u -c STAGE0"},
      {"slurm", "srun --unbuffered --ntasks=1 env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
      {"slurm=-p test --mem=1G",
       "srun --unbuffered --ntasks=1 -p test --mem=1G env GANGWAY_COOKIE=c python3 -u -c STAGE0"},
  };
  for (const auto& [spec, expected] : table) EXPECT_EQ(line(spec), expected) << spec;
}

// Of keys that count only later, too: nothing may have been started by then.
TEST(LaunchCommand, is_not_made_for_a_spec_with_a_bad_value) {
  for (const std::string_view bad : {"window=12", "max_item=0", "keepalive=-1", "connect_timeout=0", "stdout=inherit",
                                     "stderr=nul", "execmodel=fibers", "id=", "chdir=", "nice=very"})
    for (const std::string_view kind : {"popen", "popen//python=python3", "sudo"})
      EXPECT_THAT(rejection(std::string(kind) + "//" + std::string(bad)),
                  AllOf(HasSubstr(bad.substr(0, bad.find('='))), Not(HasSubstr("accepted"))))
          << kind;
}

TEST(LaunchCommand, of_su_is_a_line_for_a_shell_and_for_root_only) {
  const LaunchSettings root{.cookie = {}, .is_root = true};
  EXPECT_THAT(line("su=web", root), AllOf(HasSubstr("su -s /bin/sh -c exec sh -c '"), HasSubstr(" -- web")));
  EXPECT_THAT(line("su", root), HasSubstr(" -- root"));
  EXPECT_THAT(rejection("su=web"), HasSubstr("su asks everybody but root for a password"));
  EXPECT_THAT(rejection("su=-c", root), HasSubstr("cannot begin with a dash"));
}

TEST(LaunchCommand, of_nsenter_and_unshare_has_options_and_no_program) {
  EXPECT_THAT(rejection("nsenter=web"), HasSubstr("'web' is no option of nsenter: what is run there is python="));
  EXPECT_THAT(rejection("unshare=python3 -n"), HasSubstr("'python3' is no option of unshare"));
  EXPECT_THAT(rejection("nsenter"), HasSubstr("nsenter= needs a value"));
  EXPECT_THAT(rejection("unshare="), HasSubstr("the value of unshare= is empty"));
}

TEST(LaunchCommand, of_ssh_has_compression_before_what_else_may_be_said_of_it) {
  EXPECT_THAT(line("ssh=-p 1 host//compress"), HasSubstr("ssh -o Compression=yes -p 1 "));
  EXPECT_THAT(line("ssh=host//compress=9"), HasSubstr("-o Compression=yes"));
  EXPECT_THAT(line("ssh=host//compress=off"), HasSubstr("-o Compression=no"));
  EXPECT_THAT(line("ssh=-C host//compress=on"), HasSubstr(" -C "));
  EXPECT_THAT(line("ssh=host"), Not(HasSubstr("Compression")));
  EXPECT_THAT(rejection("ssh=-4Cp 22 host//compress=0"), HasSubstr("it is off, but ssh= has the option -C"));
  EXPECT_THAT(rejection("ssh=host//compress=10"), HasSubstr("from 0 to 9"));
}

TEST(LaunchCommand, of_ssh_puts_its_own_options_behind_those_of_the_spec) {
  LaunchSettings settings;
  settings.control_path = "/tmp/x/%C";
  const std::string all =
      line("ssh=-p 2222 -oA=1 -4 me@host -C//ssh_config=/c//python=py//connect_timeout=10", settings);
  EXPECT_THAT(all, HasSubstr("ssh -F /c -p 2222 -oA=1 -4 -C -o BatchMode=yes "));
  EXPECT_THAT(all,
              HasSubstr(" -o ConnectTimeout=5 -o ServerAliveInterval=15 -o ServerAliveCountMax=3 "
                        "-o ControlMaster=auto -o ControlPath=/tmp/x/%C -o ControlPersist=5 -- me@host exec sh -c '"));
  EXPECT_THAT(all, HasSubstr("'py' '-u' '-c'"));
  EXPECT_THAT(line("ssh=host//keepalive=off"), Not(AnyOf(HasSubstr("ServerAlive"), HasSubstr("Control"))));
  settings.askpass = true;
  EXPECT_THAT(line("ssh=host", settings), Not(HasSubstr("BatchMode")));
}

TEST(LaunchCommand, of_ssh_without_python_searches_and_begins_with_what_was_found_before) {
  LaunchSettings settings;
  settings.found_before = "/opt/py thon";
  EXPECT_THAT(line("ssh=host", settings),
              AllOf(HasSubstr("python3.12"), HasSubstr(" sh 'c' '/opt/py thon' '-u' '-c'")));
  EXPECT_THAT(line("vagrant_ssh=box", settings), HasSubstr("vagrant ssh box -- -C exec sh -c '"));
}

TEST(LaunchCommand, of_ssh_needs_one_host_with_a_possible_name) {
  EXPECT_THAT(rejection("ssh=-p 22"), HasSubstr("no host"));
  EXPECT_THAT(rejection("ssh=-oProxyCommand=x"), HasSubstr("no host"));
  EXPECT_THAT(rejection("ssh=host uptime"), HasSubstr("more than one host: host, uptime"));
  EXPECT_THAT(rejection("ssh=a;b@host"), HasSubstr("no host has such a name"));
  EXPECT_THAT(rejection("ssh=$(id)@host"), HasSubstr("no host has such a name"));
  EXPECT_THAT(rejection("ssh=me@-oProxyCommand=x"), HasSubstr("no host has such a name"));
  EXPECT_THAT(rejection("ssh=host -p"), HasSubstr("needs a value"));
  for (const char* const option : {"-N", "-4N", "-f", "-t", "-W x:1", "-O exit"})
    EXPECT_THAT(rejection("ssh=" + std::string(option) + " host"), HasSubstr("makes no sense here")) << option;
  EXPECT_THAT(rejection("vagrant_ssh=--debug"), HasSubstr("cannot begin with a dash"));
}

TEST(LaunchCommand, of_srun_is_one_task) {
  for (const char* const option : {"-n4", "-n 4", "--ntasks=4", "-N2", "--nodes 2"})
    EXPECT_THAT(rejection("slurm=" + std::string(option)), HasSubstr("one gateway is one task")) << option;
  EXPECT_THAT(rejection("slurm=-l"), HasSubstr("disturb the stream"));
  EXPECT_THAT(rejection("slurm=--output=/tmp/x"), HasSubstr("disturb the stream"));
  EXPECT_THAT(line("slurm=-n1 -N 1"), HasSubstr("--ntasks=1 -n1 -N 1 env"));
}

TEST(LaunchCommand, there_is_none_for_sockets) {
  EXPECT_THAT(rejection("socket=host:1"), HasSubstr("not started by a program"));
}

struct Refusal {
  const char* spec;
  int status;
  const char* stderr_tail;
  errc code;
  const char* text;
};

TEST(ClientFailure, is_known_by_what_the_client_says) {
  const std::vector<Refusal> table{
      {"ssh=h", 255, "ssh: Could not resolve hostname h: Name or service not known\r\n", errc::host_not_found,
       "not found"},
      {"ssh=h", 255, "ssh: connect to host h port 22: Connection refused\r\n", errc::connection_refused, "refused"},
      {"ssh=h", 255, "ssh: connect to host h port 22: Connection timed out\r\n", errc::connect_timeout, "in time"},
      {"ssh=h", 255, "ssh: connect to host h port 22: No route to host\r\n", errc::host_unreachable, "no route"},
      {"ssh=h", 255, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed.\r\n",
       errc::host_key_changed, "ssh-keygen -R"},
      {"ssh=h", 255, "No ED25519 host key is known for h\r\nHost key verification failed.\r\n", errc::host_key_unknown,
       "accept-new"},
      {"ssh=h", 255, "me@h: Permission denied (publickey,password).\r\n", errc::auth_failed, "publickey,password"},
      {"ssh=h", 255, "kex_exchange_identification: read: Connection reset by peer\r\n", errc::host_unreachable,
       "MaxStartups"},
      {"ssh=h", 255, "", errc::host_unreachable, "ssh=h: ssh failed (exit status 255)"},
      {"sudo=web", 1, "sudo: a password is required\n", errc::auth_failed, "NOPASSWD"},
      {"sudo=web", 1, "sudo: unknown user web\n", errc::host_not_found, "no such user"},
      {"su=web", 1, "su: user web does not exist or the user entry does not contain\n", errc::host_not_found,
       "no such"},
      {"doas=web", 1, "doas: Authentication required\n", errc::auth_failed, "nopass"},
      {"doas=web", 1, "doas: Operation not permitted\n", errc::auth_failed, "does not permit"},
      {"doas=web", 1, "doas: unknown user\n", errc::host_not_found, "no such user"},
      {"nsenter=4711", 1, "nsenter: stat of /proc/4711/ns/user failed: No such file or directory\n",
       errc::host_not_found, "no such process"},
      {"nsenter=-t 4711 -n", 1, "nsenter: reassociate to namespace 'ns/net' failed: Operation not permitted\n",
       errc::auth_failed, "privileges"},
      {"unshare=-n", 1, "unshare: unshare failed: Operation not permitted\n", errc::auth_failed, "privileges"},
      {"unshare=-n", 127, "unshare: failed to execute python9: No such file or directory\n", errc::python_not_found,
       "no such interpreter"},
      {"docker=web", 1, "Error response from daemon: No such container: web\n", errc::host_not_found,
       "no such container"},
      {"kubectl=web", 1, "Error from server (NotFound): pods \"web\" not found\n", errc::host_not_found, "no such pod"},
      {"slurm=-p x", 1, "srun: error: Unable to allocate resources: Invalid partition name specified\n",
       errc::host_not_found, "no such partition"},
  };
  for (const Refusal& row : table) {
    const auto failure = client_failure(XSpec(row.spec), DeathRecord{row.status, {}, row.stderr_tail});
    ASSERT_TRUE(failure) << row.stderr_tail;
    EXPECT_EQ(failure->code, row.code) << row.stderr_tail;
    EXPECT_THAT(failure->text, HasSubstr(row.text));
  }
}

TEST(ClientFailure, is_not_made_up) {
  EXPECT_FALSE(client_failure(XSpec("ssh=h"), DeathRecord{0, {}, "Connection refused"}));
  EXPECT_FALSE(client_failure(XSpec("ssh=h"), DeathRecord{1, {}, "Connection refused"})) << "the far command's status";
  EXPECT_FALSE(client_failure(XSpec("ssh=h"), DeathRecord{{}, 9, ""}));
  EXPECT_FALSE(client_failure(XSpec("sudo=web"), DeathRecord{1, {}, "Traceback"}));
  EXPECT_FALSE(client_failure(XSpec("popen"), DeathRecord{255, {}, "Connection refused"}));
}

TEST(ClientFailure, that_is_worth_another_attempt_is_a_server_that_hung_up_before_the_login) {
  const auto worth = [](int status, const char* stderr_tail) {
    return hung_up_before_login(DeathRecord{status, {}, stderr_tail});
  };
  EXPECT_TRUE(worth(255,
                    "kex_exchange_identification: read: Connection reset by peer\r\n"
                    "Connection reset by 127.0.0.1 port 22\r\n"));
  EXPECT_TRUE(worth(255, "Exceeded MaxStartups\r\n"));
  EXPECT_FALSE(worth(1, "kex_exchange_identification: read: Connection reset by peer\r\n"));
  EXPECT_FALSE(worth(255,
                     "ssh: Could not resolve hostname jump\r\n"
                     "kex_exchange_identification: Connection closed by remote host\r\n"));
  EXPECT_FALSE(worth(255,
                     "kex_exchange_identification: Connection closed by remote host\r\n"
                     "Connection closed by UNKNOWN port 65535\r\n"))
      << "a proxy";
  EXPECT_FALSE(worth(255, "me@h: Permission denied (publickey).\r\n"));
  EXPECT_FALSE(worth(255, ""));
}

TEST(ClientFailure, has_no_control_characters_of_the_far_side) {
  const auto failure =
      client_failure(XSpec("ssh=h"), DeathRecord{255, {}, "\x1b[2Jssh: connect to host h: Connection refused\r\n"});
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->text.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace gangway::detail
