// A network of this machine whose links can be cut, slowed down and filtered: a namespace with a
// server's side, and ours. Needs root, and for some of it iptables and tc.
//
// One thread. Its server has to end before it.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include <unistd.h>

namespace gangway::test {

class Network {
 public:
  Network() {
    remove();  // that of a test which was killed, and had our pid
    made_ = run("ip netns add " + name_) &&
            run("ip link add " + near() + " type veth peer name " + far() + " netns " + name_) &&
            run("ip addr add " + here() + "/29 dev " + near()) && run("ip link set " + near() + " up") &&
            inside("ip addr add " + there() + "/29 dev " + far()) && inside("ip link set " + far() + " up") &&
            inside("ip link set lo up");
  }
  ~Network() { remove(); }
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  [[nodiscard]] explicit operator bool() const { return made_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The address of the far side, and one that nobody has.
  [[nodiscard]] std::string there() const { return address(2); }
  [[nodiscard]] std::string nobody() const { return address(6); }

  void pull_the_cable() const { EXPECT_TRUE(run("ip link set " + near() + " down")); }
  /// What is sent from there does not come; what is sent from here does.
  void lose_answers() const { EXPECT_TRUE(inside("ip route add blackhole " + here() + "/32")); }
  /// Packets at the far side that match are dropped. False: no iptables that can do that.
  [[nodiscard]] bool drop(const std::string& chain, const std::string& match) const {
    return inside("iptables -A " + chain + " -p tcp " + match + " -j DROP");
  }
  /// Packets that the first rule of a chain has dropped.
  [[nodiscard]] long dropped(const std::string& chain) const {
    return std::atol(output("iptables -nvxL " + chain + " 1").c_str());
  }
  /// Both directions. False: no tc that can do that.
  [[nodiscard]] bool slow_down(const std::string& rate) const {
    const std::string shape = " root tbf burst 3000 latency 1s rate " + rate;
    return run("tc qdisc add dev " + near() + shape) && inside("tc qdisc add dev " + far() + shape);
  }

  [[nodiscard]] bool inside(const std::string& command) const { return run("ip netns exec " + name_ + " " + command); }
  /// What a command writes there.
  [[nodiscard]] std::string output(const std::string& command) const {
    const std::string line = "ip netns exec " + name_ + " " + command + " 2>/dev/null";
    const std::unique_ptr<FILE, int (*)(FILE*)> from(::popen(line.c_str(), "r"), ::pclose);
    std::string text;
    std::array<char, 4096> buffer;
    while (from && !std::feof(from.get()))
      text.append(buffer.data(), std::fread(buffer.data(), 1, buffer.size(), from.get()));
    return text;
  }

 private:
  void remove() const {
    (void)run("ip link del " + near());  // before the namespace, which would do it some time later
    (void)run("ip netns del " + name_);
  }
  /// Of 198.18.0.0/15, which is kept for tests (RFC 2544); each pid has eight of them.
  [[nodiscard]] std::string address(int host) const {
    const int at = number_ % 16'384 * 8 + host;
    return "198." + std::to_string(18 + at / 65'536) + "." + std::to_string(at / 256 % 256) + "." +
           std::to_string(at % 256);
  }
  [[nodiscard]] std::string here() const { return address(1); }
  [[nodiscard]] static bool run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }
  [[nodiscard]] std::string near() const { return name_ + "a"; }
  [[nodiscard]] std::string far() const { return name_ + "b"; }

  // Tests that run at the same time have networks of their own.
  const int number_ = ::getpid();
  const std::string name_ = "gwt" + std::to_string(number_);
  bool made_ = false;
};

}  // namespace gangway::test
