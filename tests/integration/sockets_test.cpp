// `socket=` and `unix=`: gateways through a gwserver.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/support/agents.hpp"
#include "tests/support/poll.hpp"
#include "tests/support/server_process.hpp"

namespace gangway::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Sockets : public GroupTest {
 protected:
  [[nodiscard]] std::string path() const { return directory_ / "socket"; }
  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }
  std::string secret_file(const std::string& text = "0123456789abcdef0123456789abcdef\n") {
    const std::string file = directory_.write("secret" + std::to_string(++secrets_), text);
    EXPECT_EQ(::chmod(file.c_str(), 0600), 0);
    return file;
  }
  [[nodiscard]] std::string failure(const std::string& spec) {
    try {
      (void)group().makegateway(spec);
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "started: " << spec;
    return {};
  }

 private:
  TemporaryDirectory directory_;
  int secrets_ = 0;
};

TEST_F(Sockets, unix_path_gives_a_native_agent) {
  ServerProcess server({path()});
  Gateway gateway = group().makegateway("unix=" + path());
  EXPECT_EQ(gateway.info().agent, "native");
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
  EXPECT_TRUE(group().terminate(5s).killed.empty());
}

TEST_F(Sockets, loopback_port_gives_a_native_agent) {
  ServerProcess server({"127.0.0.1:0"});
  Gateway gateway = group().makegateway(server.socket_spec());
  EXPECT_EQ(ask<int>(gateway, "channel.send(6 * 7)"), 42);
}

}  // namespace
}  // namespace gangway::test
