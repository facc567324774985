// The fixture for gateways by ssh to a private sshd, with libssh or OpenSSH's client.
//
//   class SshSession : public SshGateways, public ::testing::WithParamInterface<const char*> {
//    protected:
//     SshSession() : SshGateways(GetParam()) {}
//   };
//   INSTANTIATE_TEST_SUITE_P(, SshSession, ssh_clients(), ssh_client_name);
#pragma once

#include <gtest/gtest.h>

#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/agents.hpp"
#include "tests/support/sshd.hpp"
#include "tests/support/start_error.hpp"

namespace gangway::test {

/// The values of ssh_client=.
[[nodiscard]] inline auto ssh_clients() { return ::testing::Values("libssh", "openssh"); }
[[nodiscard]] inline std::string ssh_client_name(const ::testing::TestParamInfo<const char*>& info) {
  return info.param;
}

class SshGateways : public GroupTest {
 protected:
  explicit SshGateways(std::string_view client) : client_("ssh_client=" + std::string(client)) {}

  void SetUp() override {
    GroupTest::SetUp();
    if (const auto why = Sshd::missing(); !why.empty()) GTEST_SKIP() << why;
    if (by_openssh() && ::access("/usr/bin/ssh", X_OK) != 0) GTEST_SKIP() << "no ssh on this machine";
  }
  void TearDown() override {
    end_group();
    if (sshd_) {  // else skipped
      EXPECT_TRUE(wait_for_no_survivors(cookie()));
    }
    sshd_.reset();
    GroupTest::TearDown();
  }

  [[nodiscard]] const std::string& client() const { return client_; }  // "ssh_client=libssh"
  [[nodiscard]] bool by_openssh() const { return client_ == "ssh_client=openssh"; }
  Sshd& serve(Sshd::Options options = {}) { return sshd_.emplace(std::move(options)); }
  [[nodiscard]] Sshd& sshd() { return *sshd_; }

  /// The sshd's destination in these words, and more behind it.
  [[nodiscard]] std::string spec(const std::string& words = "private", std::string_view more = {}) const {
    return "ssh=" + words + "//ssh_config=" + sshd_->file("ssh_config") + "//" + client_ + (more.empty() ? "" : "//") +
           std::string(more);
  }
  /// The same from no configuration: options of ssh before the name of the host.
  [[nodiscard]] std::string bare_spec(const std::string& options, const std::string& host) const {
    return "ssh=-p " + std::to_string(sshd_->port()) + " -i " + sshd_->file("user_key") +
           " -o IdentityAgent=none -o IdentitiesOnly=yes -o UserKnownHostsFile=" + sshd_->file("known_hosts") + " " +
           options + " " + host + "//ssh_config=/dev/null//" + client_;
  }
  Gateway start(std::string_view more = {}) { return group().makegateway(spec("private", more)); }
  StartError failure(const std::string& spec) { return start_error(group(), spec); }
  StartError failure() { return failure(spec()); }

 private:
  const std::string client_;
  std::optional<Sshd> sshd_;
};

}  // namespace gangway::test
